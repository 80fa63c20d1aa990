// A client's connection: reads requests one after the other within limits of size and time, hands them to the handler,
// writes what it answers. Slow clients hold a connection and nothing else: answers wait here, never in the engine.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "exchange.h"

namespace nibble::server {

struct ConnectionLimits {
  std::uint32_t header_bytes = 16 * 1024;
  std::uint64_t body_bytes = std::uint64_t{16} << 20;
  std::size_t all_body_bytes = std::size_t{512} << 20;  ///< of all requests that are read or under way; then 503
  std::size_t waiting_bytes = std::size_t{8} << 20;     ///< of an answer that the client does not take; then it is cut
  std::chrono::milliseconds header_time{10'000};        ///< from the first byte to the end of the headers
  std::chrono::milliseconds body_time{60'000};
  std::chrono::milliseconds idle_time{60'000};     ///< between requests
  std::chrono::milliseconds write_time{60'000};    ///< without the client taking anything
  std::chrono::milliseconds comment_time{15'000};  ///< streams that are silent so long get a comment
  std::chrono::milliseconds linger_time{2'000};    ///< after a refusal, so that the client can read it
};

class Connection;

/// An IPv4 address that came as an IPv6 one (::ffff:192.0.2.7) as what it is.
boost::asio::ip::address unmapped(const boost::asio::ip::address& address);
/// What counts as one client: an IPv4 address, or the /64 of an IPv6 address, all of which one machine usually has.
std::string client_of(const boost::asio::ip::address& address);

/// The open connections, and what they hold together.
struct ConnectionSet {
  std::unordered_set<Connection*> open;
  std::unordered_map<std::string, int> of_client;  ///< how many of them, by client_of()
  std::size_t body_bytes = 0;                      ///< of requests
};

/// Bytes of a request's body, counted in the set for as long as they are there.
class BodyBytes {
 public:
  explicit BodyBytes(ConnectionSet& all) : all_(&all) {}
  BodyBytes(BodyBytes&& other) noexcept : all_(other.all_), bytes_(std::exchange(other.bytes_, 0)) {}
  BodyBytes& operator=(BodyBytes&&) = delete;
  ~BodyBytes() { set(0); }
  void set(std::size_t bytes) {
    all_->body_bytes += bytes - bytes_;
    bytes_ = bytes;
  }

 private:
  ConnectionSet* all_;
  std::size_t bytes_ = 0;
};

/// On one thread; `handler`, `limits` and `all` outlive it.
class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::ip::tcp::socket socket, Handler& handler, const ConnectionLimits& limits, ConnectionSet& all);
  ~Connection();
  void start();
  /// No request after the one under way; at once when there is none.
  void close_when_idle();
  void close();

 private:
  class Current;
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  using Code = boost::beast::error_code;

  void wait_for_request();
  void read_header();
  void parse();
  bool is_parsed() const;
  std::size_t framing_bytes() const;
  std::size_t most_framing() const;
  void on_header();
  void read_body();
  void on_body();
  HttpRequest head() const;
  void refuse(HttpReply reply);
  void protocol_error(Code error);

  void watch();
  void on_watch(Code error);
  void keep_next_request();
  void client_gone();

  void send(std::string_view bytes);
  void write_more();
  void on_written(Code error, std::size_t bytes);
  void after_answer();
  void linger();
  void drain_lingering();
  void restart_comments();

  boost::beast::tcp_stream stream_;
  Handler& handler_;
  const ConnectionLimits& limits_;
  ConnectionSet& all_;
  BodyBytes body_bytes_;
  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  std::size_t parsed_bytes_ = 0;  ///< of the request
  bool is_reading_body_ = false;
  boost::asio::steady_timer comments_;
  std::string peer_;
  std::string client_;

  Current* current_ = nullptr;  ///< the request under way; the handler holds it
  std::function<void()> gone_;  ///< what it wants to be told
  std::string waiting_;         ///< bytes to write, behind those being written
  std::string writing_;
  std::size_t written_ = 0;  ///< of writing_
  bool is_writing_ = false;
  bool answer_is_whole_ = false;
  bool keep_alive_ = true;
  bool is_watching_ = false;
  bool is_lingering_ = false;
  bool is_closed_ = false;
  bool close_when_idle_ = false;
  std::size_t lingered_bytes_ = 0;
};

}  // namespace nibble::server
