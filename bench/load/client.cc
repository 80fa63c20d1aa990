#include "client.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "base/json.h"

namespace nibble::load {
namespace asio = boost::asio;

namespace {

constexpr std::size_t kReadBytes = 16 * 1024;
constexpr std::size_t kSlowReadBytes = 64;

std::chrono::microseconds duration_of(double seconds) {
  return std::chrono::microseconds(static_cast<std::int64_t>(1e6 * seconds));
}

}  // namespace

Client::Client(asio::io_context& context, asio::ip::tcp::endpoint server)
    : context_(context),
      server_(std::move(server)),
      socket_(context),
      deadline_(context),
      read_timer_(context),
      write_timer_(context) {}

template <typename F>
auto Client::of_this_request(F handler) {
  return [self = shared_from_this(), request = request_, handler = std::move(handler)](auto&&... arguments) {
    if (self->request_ == request) handler(arguments...);
  };
}

void Client::close(bool reset) {
  Code ignored;
  if (reset && socket_.is_open()) socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
}

void Client::abandon() {
  request_ = 0;
  done_ = nullptr;
  deadline_.cancel();
  read_timer_.cancel();
  write_timer_.cancel();
  close();
}

void Client::ask(std::shared_ptr<const Ask> ask, Done done) {
  request_ = ++last_request_;
  ask_ = std::move(ask);
  done_ = std::move(done);
  answer_ = {};
  reader_ = server::ResponseReader();
  stream_.reset();
  begin_ = Clock::now();
  is_reused_ = is_open();
  buffer_.resize(ask_->read_pause > 0 ? kSlowReadBytes : kReadBytes);
  deadline_.expires_after(duration_of(ask_->dies_after.value_or(ask_->patience)));
  deadline_.async_wait(of_this_request([this](Code error) {
    if (error) return;
    if (ask_->dies_after) close(ask_->resets);
    end(ask_->dies_after ? "" : "no whole answer in time");
  }));
  is_reused_ ? send() : connect();
}

void Client::connect() {
  Code error;
  socket_.open(server_.protocol(), error);
  if (error) return end("no socket: " + error.message());
  if (ask_->read_pause > 0) socket_.set_option(asio::socket_base::receive_buffer_size(4096), error);
  socket_.async_connect(server_, of_this_request([this](Code failed) {
                          if (failed) return end("no connection: " + failed.message());
                          Code ignored;
                          socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
                          send();
                        }));
}

void Client::send() {
  read();
  if (ask_->write_pause > 0) return write_slowly(0);
  const auto size = static_cast<std::size_t>(ask_->sends_part * static_cast<double>(ask_->bytes.size()));
  // What goes wrong here is seen by the one who reads.
  asio::async_write(socket_, asio::buffer(ask_->bytes.data(), size),
                    [self = shared_from_this(), ask = ask_](Code, std::size_t) {});
}

void Client::write_slowly(std::size_t at) {
  if (at == ask_->bytes.size()) return;
  asio::async_write(socket_, asio::buffer(ask_->bytes.data() + at, 1),
                    of_this_request([this, at](Code error, std::size_t) {
                      if (error) return;
                      write_timer_.expires_after(duration_of(ask_->write_pause));
                      write_timer_.async_wait(of_this_request([this, at](Code stopped) {
                        if (!stopped) write_slowly(at + 1);
                      }));
                    }));
}

void Client::read() {
  socket_.async_read_some(asio::buffer(buffer_), of_this_request([this](Code error, std::size_t bytes) {
                            if (!error) return on_read(bytes);
                            if (is_reused_ && !reader_.has_begun()) {  // the server has had enough of this connection
                              is_reused_ = false;
                              close();
                              return connect();
                            }
                            reader_.end_of_connection();
                            close();
                            if (reader_.is_done() && reader_.has_begun()) return check_answer();
                            end("the connection ended without an answer");
                          }));
}

void Client::on_read(std::size_t bytes) {
  if (answer_.first_byte == 0) answer_.first_byte = elapsed();
  const std::size_t used = reader_.feed({buffer_.data(), bytes});
  if (ask_->is_stream && reader_.status() == 200 && reader_.has_head()) {
    if (!stream_) stream_.emplace(ask_->is_chat);
    stream_->feed(reader_.take_body());
    if (answer_.first_piece == 0 && stream_->pieces() > 0) answer_.first_piece = elapsed();
  }
  if (reader_.is_done()) {
    if (used < bytes) return end("bytes behind the answer");
    return check_answer();
  }
  if (ask_->read_pause == 0) return read();
  read_timer_.expires_after(duration_of(ask_->read_pause));
  read_timer_.async_wait(of_this_request([this](Code stopped) {
    if (!stopped) read();
  }));
}

void Client::check_answer() {
  answer_.status = reader_.status();
  std::string problem = reader_.problem();
  if (problem.empty() && stream_) {
    problem = stream_->finish();
    answer_.pieces = stream_->pieces();
    if (problem.empty() && stream_->has_error()) problem = "an error in the stream";
  } else if (problem.empty()) {
    answer_.body = reader_.take_body();
    if (reader_.status() >= 400 && !server::is_error_object(answer_.body)) problem = "no error object";
    if (reader_.status() == 503 && reader_.header("retry-after").empty()) problem = "503 without Retry-After";
    if (reader_.status() == 200 && reader_.header("content-type") == "application/json" &&
        !parse_untrusted(answer_.body, "answer").ok())
      problem = "no JSON";
  }
  if (!reader_.keeps_alive()) close();
  end(std::move(problem));
}

void Client::end(std::string problem) {
  answer_.problem = std::move(problem);
  answer_.seconds = elapsed();
  if (!answer_.problem.empty()) close();
  request_ = 0;
  deadline_.cancel();
  read_timer_.cancel();
  write_timer_.cancel();
  // The next request may begin in it.
  const Done done = std::exchange(done_, nullptr);
  const Answer answer = std::exchange(answer_, {});
  done(answer);
}

}  // namespace nibble::load
