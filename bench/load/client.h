// A client of an OpenAI server: one connection, one request at a time. Well behaved, or slow, or one that dies.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/testing/response_reader.h"
#include "server/testing/stream_check.h"

namespace nibble::load {

using Clock = std::chrono::steady_clock;

struct Ask {
  std::string bytes;
  bool is_stream = false;
  bool is_chat = false;
  double patience = 60;  ///< seconds, then the answer is missing
  // Of those that behave badly:
  std::optional<double> dies_after;  ///< seconds from the beginning, unless the answer is there by then
  bool resets = false;               ///< it dies with a reset
  double sends_part = 1;             ///< so much of the request
  double write_pause = 0;            ///< seconds after every byte
  double read_pause = 0;             ///< seconds after every few bytes
};

struct Answer {
  int status = 0;          ///< 0: none came
  std::string problem;     ///< what was wrong with it; empty: nothing
  double first_byte = 0;   ///< seconds from the beginning
  double first_piece = 0;  ///< the same, until a stream's first text
  double seconds = 0;
  int pieces = 0;  ///< of a stream's text
  std::string body;
};

class Client : public std::enable_shared_from_this<Client> {
 public:
  Client(boost::asio::io_context& context, boost::asio::ip::tcp::endpoint server);
  /// Connects first, where that is needed. `done` is called once.
  void ask(std::shared_ptr<const Ask> ask, std::function<void(const Answer&)> done);
  bool is_open() const { return socket_.is_open(); }
  void close(bool reset = false);
  /// Nobody waits for the answer any more.
  void abandon();

 private:
  using Code = boost::system::error_code;
  using Done = std::function<void(const Answer&)>;

  void connect();
  void send();
  void write_slowly(std::size_t at);
  void read();
  void on_read(std::size_t bytes);
  void check_answer();
  void end(std::string problem);
  double elapsed() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }
  /// For handlers: they do nothing when the request they belong to is over.
  template <typename F>
  auto of_this_request(F handler);

  boost::asio::io_context& context_;
  boost::asio::ip::tcp::endpoint server_;
  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer deadline_, read_timer_, write_timer_;
  std::vector<char> buffer_;

  std::uint64_t request_ = 0;  ///< its number; 0: none
  std::uint64_t last_request_ = 0;
  std::shared_ptr<const Ask> ask_;
  Done done_;
  Answer answer_;
  server::ResponseReader reader_;
  std::optional<server::StreamCheck> stream_;
  Clock::time_point begin_;
  bool is_reused_ = false;
};

}  // namespace nibble::load
