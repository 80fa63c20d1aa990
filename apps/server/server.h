// The listening socket and the thread that all connections share.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <optional>
#include <string>
#include <thread>

#include "api.h"
#include "connection.h"
#include "nibble/result.h"
#include "served_models.h"

namespace nibble::server {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;
  int max_connections = 4096;
  /// Of one client (client_of()). Empty: a quarter of max_connections, but any number from this machine, where a proxy
  /// speaks for others.
  std::optional<int> max_connections_per_client;
  double drain_seconds = 30;
  ConnectionLimits limits;
  ApiOptions api;
};

class Server {
 public:
  /// `models` outlives it.
  Server(ServedModels& models, ServerOptions options);
  ~Server();

  /// Opens the port. Fails with kIo when it cannot be had, kInvalidArgument for what is no address.
  Status listen();
  /// "http://127.0.0.1:8080"
  std::string url() const;
  int port() const;

  /// Answers until stop(), SIGTERM, SIGINT or SIGHUP (those that the program does not ignore), then lets requests under
  /// way end, but not for ever. Loads the models meanwhile; returns the error if one cannot be.
  Status run(const std::function<void()>& ready);
  /// From any thread: as a signal.
  void stop();

 private:
  void accept();
  void on_accept(boost::system::error_code error, boost::asio::ip::tcp::socket socket);
  bool has_too_many(const boost::asio::ip::tcp::socket& socket) const;  ///< its client has
  void begin_drain();
  void end_now();
  void close_connections();

  ServedModels& models_;
  ServerOptions options_;
  ConnectionSet connections_;  ///< before the context, whose handlers hold the connections
  Api api_;
  boost::asio::io_context context_{1};
  boost::asio::ip::tcp::acceptor acceptor_{context_};
  boost::asio::signal_set signals_{context_};
  boost::asio::steady_timer pause_{context_};
  Status status_;
  bool is_draining_ = false;
  std::atomic<bool> hurry_ = false;
  std::thread drain_;
};

}  // namespace nibble::server
