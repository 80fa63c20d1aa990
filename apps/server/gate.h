// Who may ask: the Host and Origin checks that keep other web pages off a local server, API keys, and CORS.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http_message.h"

namespace nibble::server {

struct GateOptions {
  std::vector<std::string> api_keys;       ///< any of them; none: everybody may ask
  std::vector<std::string> allowed_hosts;  ///< names by which the server may be called; empty: any
  std::vector<std::string> cors_origins;   ///< other origins whose pages may ask; "*": all
};

class Gate {
 public:
  explicit Gate(GateOptions options) : options_(std::move(options)) {}

  /// A refusal, or the answer to a preflight request; nothing: go on. `is_public`: no key is wanted.
  std::optional<HttpReply> refuse(const HttpRequest& head, bool is_public) const;
  /// Adds what lets a page of another origin read the answer, where it may.
  void add_cors(const HttpRequest& request, Headers& headers) const;

 private:
  bool host_is_allowed(std::string_view host) const;
  bool origin_is_allowed(const HttpRequest& head, std::string_view origin) const;
  bool is_foreign(std::string_view origin) const;
  bool has_key(const HttpRequest& head) const;

  GateOptions options_;
};

/// The name in a Host header, without port and brackets, in lower case; empty for what is no host.
std::string host_name(std::string_view host);
/// Takes as long for every wrong key of a length.
bool equal_in_constant_time(std::string_view given, std::string_view secret);

}  // namespace nibble::server
