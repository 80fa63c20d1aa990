#include "server.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <csignal>
#include <exception>
#include <vector>

#include "api_error.h"

namespace nibble::server {
namespace asio = boost::asio;

namespace {

constexpr auto kPauseWithoutFiles = std::chrono::milliseconds(100);
constexpr auto kTimeToClose = std::chrono::seconds(2);

ApiOptions with_connections(ApiOptions options, const ConnectionSet& connections) {
  options.connections = [&connections] { return connections.open.size(); };
  return options;
}

/// By the program's parent: nohup, or a script that put it into the background.
bool is_ignored(int signal_number) {
  struct sigaction action = {};
  return sigaction(signal_number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

/// For a client beyond the number of connections: an answer if it can be sent at once.
void refuse(asio::ip::tcp::socket& socket, std::string message) {
  HttpReply reply = reply_of({503, std::move(message), "overloaded_error", "", "too_many_connections"});
  const std::string text = head_of(reply, static_cast<std::int64_t>(reply.body.size()), false) + reply.body;
  static_cast<void>(::send(socket.native_handle(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
  boost::system::error_code ignored;
  socket.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}

}  // namespace

Server::Server(ServedModels& models, ServerOptions options)
    : models_(models), options_(std::move(options)), api_(models, with_connections(options_.api, connections_)) {}

Server::~Server() {
  if (drain_.joinable()) drain_.join();
}

Status Server::listen() {
  boost::system::error_code error;
  const auto address = asio::ip::make_address(options_.host == "localhost" ? "127.0.0.1" : options_.host, error);
  if (error)
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("--host {}: expected an address like 127.0.0.1, 0.0.0.0 or ::1", options_.host)};
  const asio::ip::tcp::endpoint endpoint(address, static_cast<asio::ip::port_type>(options_.port));
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error)
    return Error{ErrorCode::kIo, fmt::format("cannot listen on {} port {}: {}; --port takes another", options_.host,
                                             options_.port, error.message())};
  return {};
}

int Server::port() const { return acceptor_.local_endpoint().port(); }

std::string Server::url() const {
  const auto endpoint = acceptor_.local_endpoint();
  std::string address = endpoint.address().to_string();
  if (endpoint.address().is_v6()) address = "[" + address + "]";
  return fmt::format("http://{}:{}", address, endpoint.port());
}

Status Server::run(const std::function<void()>& ready) {
  boost::system::error_code ignored;
  for (const int number : {SIGTERM, SIGINT, SIGHUP})
    if (!is_ignored(number)) signals_.add(number, ignored);
  const std::function<void(boost::system::error_code, int)> on_signal = [&](boost::system::error_code error, int) {
    if (error) return;
    is_draining_ ? end_now() : begin_drain();
    signals_.async_wait(on_signal);
  };
  signals_.async_wait(on_signal);
  accept();
  models_.load([this, &ready](const Status& status) {
    asio::post(context_, [this, status, &ready] {
      if (is_draining_) return;  // who ends the server does not ask why the models are not there
      if (status.ok()) {
        if (ready) ready();
        return;
      }
      status_ = status;
      begin_drain();
    });
  });
  // Should there be no memory for what one client wants, its connection goes, and the others go on.
  const auto run_on = [this] {
    try {
      context_.run();
      return true;
    } catch (const std::exception&) {
      return false;
    }
  };
  while (!run_on()) continue;
  // What the engines let go of last.
  context_.restart();
  context_.poll();
  return status_;
}

void Server::stop() {
  asio::post(context_, [this] { is_draining_ ? end_now() : begin_drain(); });
}

void Server::accept() {
  acceptor_.async_accept(
      [this](boost::system::error_code error, asio::ip::tcp::socket socket) { on_accept(error, std::move(socket)); });
}

void Server::on_accept(boost::system::error_code error, asio::ip::tcp::socket socket) {
  if (error == asio::error::operation_aborted || is_draining_) return;
  if (error) {
    // No file descriptors, or no memory: those who wait in the queue of the system can wait a little longer.
    pause_.expires_after(kPauseWithoutFiles);
    pause_.async_wait([this](boost::system::error_code stopped) {
      if (!stopped) accept();
    });
    return;
  }
  if (std::ssize(connections_.open) >= options_.max_connections) {
    refuse(socket, "too many connections; try again later");
  } else if (has_too_many(socket)) {
    refuse(socket, "too many connections from this address; use fewer, or try again later");
  } else {
    std::make_shared<Connection>(std::move(socket), api_, options_.limits, connections_)->start();
  }
  accept();
}

bool Server::has_too_many(const asio::ip::tcp::socket& socket) const {
  boost::system::error_code error;
  const auto address = socket.remote_endpoint(error).address();
  if (error) return false;  // it is gone
  if (!options_.max_connections_per_client && unmapped(address).is_loopback()) return false;
  const int most = options_.max_connections_per_client.value_or(std::max(options_.max_connections / 4, 1));
  const auto found = connections_.of_client.find(client_of(address));
  return found != connections_.of_client.end() && found->second >= most;
}

/// Who is being answered is answered; then all ends.
void Server::begin_drain() {
  is_draining_ = true;
  api_.drain();
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  pause_.cancel();
  close_connections();
  drain_ = std::thread([this] {
    // In slices, so that a second signal is heard.
    models_.stop_loading();
    api_.join();
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(options_.drain_seconds);
    while (!hurry_ && std::chrono::steady_clock::now() < deadline && !models_.drain(0.1)) continue;
    models_.shutdown();
    asio::post(context_, [this] {
      signals_.cancel();
      close_connections();
      pause_.expires_after(kTimeToClose);  // for answers on their way
      pause_.async_wait([this](boost::system::error_code) { context_.stop(); });
      if (connections_.open.empty()) pause_.cancel();
    });
  });
}

void Server::end_now() { hurry_ = true; }

void Server::close_connections() {
  const std::vector<Connection*> all(connections_.open.begin(), connections_.open.end());
  for (Connection* connection : all)
    if (connections_.open.count(connection) > 0) connection->close_when_idle();
}

}  // namespace nibble::server
