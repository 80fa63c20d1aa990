// A server with the empty model in this process, on a free port, and connections to it that send any bytes.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <thread>

#include "response_reader.h"
#include "server/empty_model.h"
#include "server/server.h"

namespace nibble::server {

/// Options that suit tests: a free port, short times, names of this machine only.
ServerOptions local_options();

class LocalServer {
 public:
  explicit LocalServer(const EmptyModelOptions& model, ServerOptions options = local_options());
  /// Stops it as a signal does, and waits.
  ~LocalServer();

  int port() const { return server_.port(); }
  const Status& status() const { return status_; }

 private:
  ServedModels models_;
  Server server_;
  Status status_;
  std::thread thread_;
};

/// A client's connection, which waits at most a few seconds for anything.
class LocalClient {
 public:
  explicit LocalClient(int port);
  ~LocalClient();
  LocalClient(const LocalClient&) = delete;
  LocalClient& operator=(const LocalClient&) = delete;

  /// Sends bytes, as many as the server takes, and reads an answer meanwhile. Without one, the reader has not begun.
  ResponseReader ask(std::string_view bytes, bool has_body = true);
  /// Sends bytes and reads nothing.
  void say(std::string_view bytes);
  /// Whether the server ends the connection and says no more.
  bool ends();
  bool is_open() const { return is_open_; }

 private:
  bool wait(short events);
  std::string receive();

  int socket_ = -1;
  bool is_open_ = false;
  std::string received_;  ///< behind the last answer
};

/// A request with a body of JSON.
std::string post_of(std::string_view path, std::string_view body);

}  // namespace nibble::server
