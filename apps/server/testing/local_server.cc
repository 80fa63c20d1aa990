#include "local_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>

namespace nibble::server {
namespace {

constexpr int kPatienceMs = 5'000;

}  // namespace

ServerOptions local_options() {
  ServerOptions options;
  options.port = 0;
  options.drain_seconds = 5;
  options.limits.header_time = options.limits.body_time = std::chrono::milliseconds(400);
  options.limits.linger_time = std::chrono::milliseconds(200);
  options.limits.body_bytes = 1 << 20;
  options.api.gate.allowed_hosts = {"localhost", "127.0.0.1", "::1"};
  return options;
}

LocalServer::LocalServer(const EmptyModelOptions& model, ServerOptions options)
    : models_({{"empty", "empty"}},
              [model](const ModelSource& source, const std::atomic<bool>&) {
                return Result<ServedModel>(empty_model(source.id, model));
              }),
      server_(models_, std::move(options)) {
  status_ = server_.listen();
  if (!status_.ok()) return;
  std::promise<void> is_ready;
  auto ready = is_ready.get_future();
  thread_ = std::thread([this, &is_ready] { status_ = server_.run([&is_ready] { is_ready.set_value(); }); });
  ready.wait();
}

LocalServer::~LocalServer() {
  if (!thread_.joinable()) return;
  server_.stop();
  thread_.join();
}

LocalClient::LocalClient(int port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  is_open_ = ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

LocalClient::~LocalClient() { ::close(socket_); }

bool LocalClient::wait(short events) {
  pollfd state{socket_, events, 0};
  return ::poll(&state, 1, kPatienceMs) == 1;
}

std::string LocalClient::receive() {
  std::string bytes(16 * 1024, '\0');
  const ssize_t count = ::recv(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) is_open_ = false;
  bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  return bytes;
}

ResponseReader LocalClient::ask(std::string_view bytes, bool has_body) {
  ResponseReader reader(has_body);
  const auto read = [&](const std::string& more) {
    received_ += more;
    received_.erase(0, reader.feed(received_));
  };
  read("");
  while (is_open_ && !reader.is_done()) {
    if (!wait(static_cast<short>(bytes.empty() ? POLLIN : POLLIN | POLLOUT))) break;
    if (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
      if (sent < 0 && errno != EAGAIN && errno != EINTR) bytes = {};
    }
    read(receive());
  }
  if (!is_open_) reader.end_of_connection();
  return reader;
}

void LocalClient::say(std::string_view bytes) {
  is_open_ = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

bool LocalClient::ends() {
  while (is_open_ && received_.empty() && wait(POLLIN)) received_ += receive();
  return !is_open_ && received_.empty();
}

std::string post_of(std::string_view path, std::string_view body) {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

}  // namespace nibble::server
