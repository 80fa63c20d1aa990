// One HTTP request at a time through libcurl. Knows nothing of hubs; follows no redirect by itself.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "hub/file_lock.h"

namespace nibble {

struct HttpRequest {
  bool head_only = false;
  std::string url;                   ///< http or https
  std::vector<std::string> headers;  ///< "Name: value"
};

struct HttpResponse {
  int status = 0;                              ///< 0: the connection failed before there was one
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string broken;  ///< why the connection broke before the response's end; empty: it did not

  /// Empty when absent.
  const std::string& header(const std::string& name) const;
};

/// Takes pieces of a body; the response's status and headers are there already. An error ends the transfer.
using BodySink = std::function<Status(const HttpResponse& response, std::span<const std::byte> bytes)>;

class HttpSession {
 public:
  /// `keep_going` is asked several times a second.
  explicit HttpSession(KeepGoing keep_going);
  ~HttpSession();
  HttpSession(const HttpSession&) = delete;
  HttpSession& operator=(const HttpSession&) = delete;

  /// A connection that cannot be made or breaks is a response with `broken` set. Errors: the sink's, kCancelled,
  /// kInvalidArgument for an address that is none. Certificates are verified.
  Result<HttpResponse> send(const HttpRequest& request, const BodySink& sink);

 private:
  struct Transfer;
  struct Handle;
  KeepGoing keep_going_;
  std::unique_ptr<Handle> handle_;
};

/// "scheme://host:port" of an address; empty when it is none.
std::string url_origin(const std::string& url);
/// What `location`, absolute or relative, means on a page at `base`; empty when that is no http or https address.
std::string url_resolve(const std::string& base, const std::string& location);
/// Percent-encoded but for letters, digits, "-._~" and, if `keep_slashes`, "/".
std::string url_encode(const std::string& text, bool keep_slashes);

}  // namespace nibble
