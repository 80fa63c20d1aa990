// The states of a connection: waiting for a request, reading it, answering it, and lingering after a refusal.
#include "connection.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <algorithm>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/http/error.hpp>
#include <cerrno>
#include <iterator>
#include <utility>

namespace nibble::server {
namespace asio = boost::asio;
namespace http = boost::beast::http;

namespace {

constexpr std::size_t kReadBytes = 4096;
constexpr std::size_t kBufferBytes = std::size_t{64} * 1024;  ///< of what was read and not parsed
constexpr std::size_t kMaxFraming = std::size_t{1} << 20;
constexpr std::size_t kMaxLingeredBytes = std::size_t{4} << 20;

HttpRequest head_of_message(const http::request<http::string_body>& message, const std::string& peer) {
  HttpRequest request;
  request.method = std::string(message.method_string());
  const std::string_view target(message.target().data(), message.target().size());
  const std::size_t query = std::min(target.find('?'), target.size());
  request.path = percent_decoded(target.substr(0, query), false);
  if (query < target.size()) request.query = std::string(target.substr(query + 1));
  for (const auto& field : message)
    request.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
  request.peer = peer;
  request.is_http_11 = message.version() >= 11;
  return request;
}

/// Nothing but "chunked" tells where a body ends (RFC 9112, 6.3); the parser takes other codings for no body.
bool has_known_length(const http::request<http::string_body>& message) {
  const auto [begin, end] = message.equal_range(http::field::transfer_encoding);
  if (begin == end) return true;
  return message.version() >= 11 && std::next(begin) == end && equal_ignoring_case(begin->value(), "chunked");
}

}  // namespace

asio::ip::address unmapped(const asio::ip::address& address) {
  if (!address.is_v6() || !address.to_v6().is_v4_mapped()) return address;
  return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
}

std::string client_of(const asio::ip::address& address) {
  const asio::ip::address plain = unmapped(address);
  if (!plain.is_v6() || plain.is_loopback()) return plain.to_string();
  auto bytes = plain.to_v6().to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), std::uint8_t{0});
  return asio::ip::address_v6(bytes).to_string() + "/64";
}

/// The exchange of the request under way; ends on the connection's thread. If the handler lets go of it unanswered, or
/// in the middle of an answer, the connection is cut.
class Connection::Current final : public Exchange {
 public:
  explicit Current(std::shared_ptr<Connection> connection)
      : connection_(std::move(connection)), body_bytes_(std::move(connection_->body_bytes_)) {}
  ~Current() override {
    if (connection_->current_ != this) return;
    connection_->current_ = nullptr;
    asio::post(connection_->stream_.get_executor(), [c = connection_] { c->close(); });
  }

  void post(std::function<void()> task) override {
    asio::post(connection_->stream_.get_executor(), [self = shared_from_this(), task = std::move(task)] { task(); });
  }

  void reply(HttpReply reply) override {
    if (!begin(reply)) return;
    const auto length = static_cast<std::int64_t>(reply.body.size());
    std::string text = head_of(reply, length, connection_->keep_alive_);
    bytes_ = reply.body.size();
    if (request.method != "HEAD" && reply.status != 204 && reply.status != 304) text += reply.body;
    connection_->send(text);
    end();
  }

  void begin_stream(HttpReply head) override {
    if (!begin(head)) return;
    chunks_ = request.is_http_11;
    if (!chunks_) connection_->keep_alive_ = false;
    connection_->send(head_of(head, chunks_ ? -1 : -2, connection_->keep_alive_));
    is_stream_ = true;
    connection_->restart_comments();
  }

  void write(std::string_view piece) override {
    if (!is_stream_ || is_ended_ || piece.empty()) return;
    bytes_ += piece.size();
    connection_->restart_comments();
    if (chunks_) {
      std::string chunk = fmt::format("{:x}\r\n", piece.size());
      chunk.reserve(chunk.size() + piece.size() + 2);
      chunk += piece;
      chunk += "\r\n";
      connection_->send(chunk);
    } else {
      connection_->send(piece);
    }
  }

  void end_stream() override {
    if (!is_stream_ || is_ended_) return;
    if (chunks_) connection_->send("0\r\n\r\n");
    end();
  }

  void on_gone(std::function<void()> task) override {
    if (is_ended_) return;
    if (connection_->current_ != this) return task();  // it has gone already
    connection_->gone_ = std::move(task);
    connection_->watch();
  }

  bool is_stream() const { return is_stream_; }
  int status() const { return status_; }
  std::uint64_t bytes() const { return bytes_; }

 private:
  /// False when there is nobody to answer.
  bool begin(HttpReply& reply) {
    if (is_begun_) return false;
    is_begun_ = true;
    status_ = reply.status;
    if (connection_->current_ != this) {
      is_ended_ = true;
      return false;
    }
    reply.headers.insert(reply.headers.end(), headers.begin(), headers.end());
    if (reply.close || connection_->close_when_idle_) connection_->keep_alive_ = false;
    return true;
  }

  void end() {
    is_ended_ = true;
    if (connection_->current_ != this) return;
    connection_->handler_.answered(*this, status_, bytes_);
    connection_->current_ = nullptr;
    connection_->gone_ = nullptr;
    connection_->comments_.cancel();
    connection_->answer_is_whole_ = true;
    connection_->write_more();
  }

  std::shared_ptr<Connection> connection_;
  BodyBytes body_bytes_;
  bool chunks_ = false;
  bool is_begun_ = false;
  bool is_stream_ = false;
  bool is_ended_ = false;
  int status_ = 0;
  std::uint64_t bytes_ = 0;
};

Connection::Connection(asio::ip::tcp::socket socket, Handler& handler, const ConnectionLimits& limits,
                       ConnectionSet& all)
    : stream_(std::move(socket)),
      handler_(handler),
      limits_(limits),
      all_(all),
      body_bytes_(all),
      comments_(stream_.get_executor()) {
  all_.open.insert(this);
}

Connection::~Connection() {
  all_.open.erase(this);
  const auto found = all_.of_client.find(client_);
  if (found != all_.of_client.end() && --found->second == 0) all_.of_client.erase(found);
}

void Connection::start() {
  Code error;
  const auto endpoint = stream_.socket().remote_endpoint(error);
  if (!error) {
    peer_ = endpoint.address().to_string();
    client_ = client_of(endpoint.address());
    ++all_.of_client[client_];
  }
  stream_.socket().set_option(asio::ip::tcp::no_delay(true), error);
  wait_for_request();
}

void Connection::close_when_idle() {
  close_when_idle_ = true;
  if (current_ == nullptr && !is_writing_ && !is_lingering_) close();
}

void Connection::close() {
  if (is_closed_) return;
  is_closed_ = true;
  body_bytes_.set(0);
  comments_.cancel();
  stream_.close();
  client_gone();
}

void Connection::wait_for_request() {
  answer_is_whole_ = false;
  if (close_when_idle_) return close();
  if (buffer_.size() > 0) return read_header();
  stream_.expires_after(limits_.idle_time);
  stream_.async_read_some(buffer_.prepare(kReadBytes), [self = shared_from_this()](Code error, std::size_t bytes) {
    self->buffer_.commit(bytes);
    if (error || self->close_when_idle_) return self->close();
    self->read_header();
  });
}

void Connection::read_header() {
  parser_.emplace();
  parser_->header_limit(limits_.header_bytes);
  parser_->body_limit(limits_.body_bytes);
  parsed_bytes_ = 0;
  is_reading_body_ = false;
  stream_.expires_after(limits_.header_time);
  parse();
}

/// Parses what has been read, and reads on where that is not all. Bytes are counted here, since the parser's own limit
/// holds for what it has not taken yet: of headers one after the other, and of trailers, it takes any number.
void Connection::parse() {
  Code error;
  while (buffer_.size() > 0 && !is_parsed()) {
    const std::size_t used = parser_->put(buffer_.data(), error);
    buffer_.consume(used);
    parsed_bytes_ += used;
    if (error == http::error::need_more) break;
    if (error) return protocol_error(error);
  }
  const std::size_t framing = framing_bytes();
  const std::size_t unparsed = is_parsed() ? 0 : buffer_.size();
  if (!is_reading_body_ && framing + unparsed > limits_.header_bytes) return protocol_error(http::error::header_limit);
  if (framing > most_framing() || unparsed == kBufferBytes) return protocol_error(http::error::body_limit);
  body_bytes_.set(parser_->get().body().size());
  if (all_.body_bytes > limits_.all_body_bytes)
    return refuse(handler_.protocol_error(503, "too many large requests at once; try again later"));
  if (is_parsed()) return is_reading_body_ ? on_body() : on_header();
  const std::size_t room = kBufferBytes - unparsed;
  stream_.async_read_some(buffer_.prepare(std::min(is_reading_body_ ? kBufferBytes : kReadBytes, room)),
                          [self = shared_from_this()](Code failed, std::size_t bytes) {
                            self->buffer_.commit(bytes);
                            if (failed || self->is_closed_) return self->close();
                            self->parse();
                          });
}

bool Connection::is_parsed() const { return is_reading_body_ ? parser_->is_done() : parser_->is_header_done(); }

/// What was parsed and is not the body.
std::size_t Connection::framing_bytes() const { return parsed_bytes_ - parser_->get().body().size(); }

/// Headers, and then for each byte a chunk of its own, but not for ever.
std::size_t Connection::most_framing() const {
  return 2 * std::size_t{limits_.header_bytes} + std::min(8 * parser_->get().body().size(), kMaxFraming);
}

HttpRequest Connection::head() const { return head_of_message(parser_->get(), peer_); }

void Connection::on_header() {
  if (!has_known_length(parser_->get())) return protocol_error(http::error::bad_transfer_encoding);
  keep_alive_ = parser_->get().keep_alive();
  if (auto refusal = handler_.refuse(head())) return refuse(std::move(*refusal));
  if (equal_ignoring_case(std::string_view(parser_->get()[http::field::expect]), "100-continue") &&
      !parser_->is_done()) {
    // Nothing else is being written.
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    stream_.expires_after(limits_.write_time);
    stream_.async_write_some(asio::buffer(kContinue), [self = shared_from_this()](Code failed, std::size_t) {
      if (failed) return self->close();
      self->read_body();
    });
    return;
  }
  read_body();
}

void Connection::read_body() {
  is_reading_body_ = true;
  parser_->eager(true);
  stream_.expires_after(limits_.body_time);
  parse();
}

void Connection::on_body() {
  stream_.expires_never();
  auto exchange = std::make_shared<Current>(shared_from_this());
  exchange->request = head();
  exchange->request.body = std::move(parser_->get().body());
  parser_.reset();
  current_ = exchange.get();
  handler_.handle(std::move(exchange));
}

/// What is left of the request is not read; the connection ends with the answer.
void Connection::refuse(HttpReply reply) {
  const bool has_more = !parser_->is_done();
  auto exchange = std::make_shared<Current>(shared_from_this());
  exchange->request = head();
  is_lingering_ = has_more;
  reply.close = reply.close || has_more;
  current_ = exchange.get();
  parser_.reset();
  exchange->reply(std::move(reply));
}

void Connection::protocol_error(Code error) {
  int status = 400;
  if (error == http::error::body_limit) {
    status = 413;
  } else if (error == http::error::header_limit) {
    status = 431;
  }
  HttpReply reply = handler_.protocol_error(status, error.message());
  reply.close = true;
  auto exchange = std::make_shared<Current>(shared_from_this());
  exchange->request.peer = peer_;
  exchange->request.method = "?";
  is_lingering_ = true;
  current_ = exchange.get();
  exchange->reply(std::move(reply));
}

/// While nothing is read, the client's end of the connection is looked at.
void Connection::watch() {
  if (is_watching_ || is_closed_) return;
  is_watching_ = true;
  stream_.socket().async_wait(asio::ip::tcp::socket::wait_read,
                              [self = shared_from_this()](Code error) { self->on_watch(error); });
}

void Connection::on_watch(Code error) {
  is_watching_ = false;
  if (is_closed_ || current_ == nullptr) return;
  char next = 0;
  const ssize_t count = error ? -1 : recv(stream_.socket().native_handle(), &next, 1, MSG_PEEK | MSG_DONTWAIT);
  if (count > 0) return keep_next_request();
  if (count < 0 && !error && (errno == EAGAIN || errno == EINTR)) return watch();
  close();
}

/// What comes before the answer is whole waits here, so that the end of the connection behind it is seen.
void Connection::keep_next_request() {
  const std::size_t room = kBufferBytes - buffer_.size();
  if (room == 0) return;  // a client so far ahead of its answers has to wait itself
  const auto space = buffer_.prepare(std::min(kReadBytes, room));
  const ssize_t count = recv(stream_.socket().native_handle(), space.data(), space.size(), MSG_DONTWAIT);
  if (count > 0) buffer_.commit(static_cast<std::size_t>(count));
  watch();
}

void Connection::client_gone() {
  waiting_.clear();
  if (current_ == nullptr) return;
  const auto exchange = current_->shared_from_this();
  const std::uint64_t bytes = current_->bytes();
  current_ = nullptr;
  if (const auto gone = std::exchange(gone_, nullptr)) gone();
  handler_.answered(*exchange, 499, bytes);
}

void Connection::send(std::string_view bytes) {
  if (is_closed_) return;
  waiting_ += bytes;
  // A client that does not read loses its answer.
  if (waiting_.size() > limits_.waiting_bytes && current_ != nullptr && current_->is_stream()) return close();
  write_more();
}

void Connection::write_more() {
  if (is_writing_ || is_closed_) return;
  if (written_ == writing_.size()) {
    writing_.clear();
    writing_.swap(waiting_);
    written_ = 0;
  }
  if (writing_.empty()) {
    if (answer_is_whole_) after_answer();
    return;
  }
  is_writing_ = true;
  stream_.expires_after(limits_.write_time);
  stream_.async_write_some(
      asio::buffer(writing_.data() + written_, writing_.size() - written_),
      [self = shared_from_this()](Code error, std::size_t bytes) { self->on_written(error, bytes); });
}

void Connection::on_written(Code error, std::size_t bytes) {
  is_writing_ = false;
  if (error) return close();
  written_ += bytes;
  write_more();
}

void Connection::after_answer() {
  answer_is_whole_ = false;
  stream_.expires_never();
  if (is_lingering_) return linger();
  if (!keep_alive_ || close_when_idle_) {
    Code ignored;
    stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    return close();
  }
  wait_for_request();
}

/// What a refused client still sends is read for a while: closing at once would take the answer from it.
void Connection::linger() {
  Code ignored;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  stream_.expires_after(limits_.linger_time);
  drain_lingering();
}

void Connection::drain_lingering() {
  buffer_.consume(buffer_.size());
  stream_.async_read_some(buffer_.prepare(kReadBytes), [self = shared_from_this()](Code error, std::size_t bytes) {
    self->lingered_bytes_ += bytes;
    if (error || self->lingered_bytes_ > kMaxLingeredBytes) return self->close();
    self->drain_lingering();
  });
}

/// A line that readers of event streams pass over, so that nobody between takes the connection for dead.
void Connection::restart_comments() {
  comments_.expires_after(limits_.comment_time);
  comments_.async_wait([self = shared_from_this()](Code error) {
    if (!error && self->current_ != nullptr && self->current_->is_stream()) self->current_->write(": keep-alive\n\n");
  });
}

}  // namespace nibble::server
