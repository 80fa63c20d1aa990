// A plain HTTP client for tests: one request per connection, the whole answer as it came.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nibble {

struct HttpAnswer {
  int status = 0;    ///< 0: none came
  std::string head;  ///< status line and headers
  std::string body;  ///< chunks joined
  bool whole = false;

  /// The data of the events of a stream.
  std::vector<std::string> events() const {
    std::vector<std::string> data;
    for (std::size_t at = 0; (at = body.find("data: ", at)) != std::string::npos;) {
      const std::size_t end = body.find("\n\n", at);
      data.push_back(body.substr(at + 6, end - at - 6));
      at = end;
    }
    return data;
  }
};

class HttpClient {
 public:
  explicit HttpClient(int port) : port_(port) {}

  int connect_socket() const {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port_));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
    close(fd);
    return -1;
  }

  HttpAnswer get(const std::string& path, const std::string& headers = "") const {
    return exchange("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "Connection: close\r\n\r\n");
  }
  HttpAnswer post(const std::string& path, const std::string& body, const std::string& headers = "") const {
    return exchange("POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) +
                    "\r\n" + headers + "Connection: close\r\n\r\n" + body);
  }

  /// Sends bytes as they are and reads until the server closes.
  HttpAnswer exchange(std::string_view request) const {
    const int fd = connect_socket();
    if (fd < 0) return {};
    while (!request.empty()) {
      const ssize_t sent = send(fd, request.data(), request.size(), MSG_NOSIGNAL);
      if (sent <= 0) break;
      request.remove_prefix(static_cast<std::size_t>(sent));
    }
    std::string answer;
    std::vector<char> buffer(65536);
    for (ssize_t count = 0; (count = recv(fd, buffer.data(), buffer.size(), 0)) > 0;)
      answer.append(buffer.data(), static_cast<std::size_t>(count));
    close(fd);
    return parse(answer);
  }

  static HttpAnswer parse(const std::string& text) {
    HttpAnswer answer;
    const std::size_t end = text.find("\r\n\r\n");
    if (end == std::string::npos || text.size() < 12) return answer;
    answer.head = text.substr(0, end + 2);
    answer.status = std::atoi(text.c_str() + 9);
    std::string_view rest = std::string_view(text).substr(end + 4);
    if (answer.head.find("\r\nTransfer-Encoding: chunked\r\n") == std::string::npos) {
      answer.body = rest;
      answer.whole = true;
      return answer;
    }
    for (;;) {
      const std::size_t size = std::strtoul(std::string(rest.substr(0, 16)).c_str(), nullptr, 16);
      const std::size_t line = rest.find("\r\n");
      if (line == std::string_view::npos || rest.size() < line + 2 + size + 2) return answer;
      answer.body += rest.substr(line + 2, size);
      rest.remove_prefix(line + 2 + size + 2);
      answer.whole = size == 0 && rest.empty();
      if (size == 0) return answer;
    }
  }

 private:
  int port_;
};

/// A port that was free a moment ago.
inline int free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    std::abort();
  close(fd);
  return ntohs(address.sin_port);
}

}  // namespace nibble
