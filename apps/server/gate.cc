#include "gate.h"

#include <algorithm>
#include <cstdint>

#include "api_error.h"

namespace nibble::server {
namespace {

ApiError refusal(int status, std::string message, std::string code) {
  return {status, std::move(message), status == 401 ? "authentication_error" : "invalid_request_error", "",
          std::move(code)};
}

constexpr std::size_t kMaxAllowedHeaders = 2048;

/// The names of headers in a list, without what else a client may have put there.
std::string header_names(std::string_view list) {
  static constexpr std::string_view kNameCharacters =
      "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::string names;
  for (const char c : list.substr(0, kMaxAllowedHeaders))
    if (c == ',' || kNameCharacters.find(c) != std::string_view::npos) names += c;
  return names;
}

/// Clients add headers of their own: those of OpenAI's, X-Stainless-..., change from version to version.
std::string allowed_headers(const HttpRequest& preflight) {
  const std::string asked = header_names(preflight.header("Access-Control-Request-Headers"));
  return asked.empty() ? "Authorization, Content-Type, X-Api-Key, X-Request-Id" : asked;
}

}  // namespace

std::string host_name(std::string_view host) {
  const bool is_bracketed = !host.empty() && host.front() == '[';
  const std::size_t bracket = is_bracketed ? host.find(']') : 0;
  if (bracket == std::string_view::npos) return "";
  std::size_t colon = std::min(host.find(':', bracket), host.size());
  if (!is_bracketed && host.find(':', std::min(colon + 1, host.size())) != std::string_view::npos)
    colon = host.size();  // an IPv6 address as it is
  const std::string_view port = host.substr(std::min(colon + 1, host.size()));
  const bool is_port = std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!is_port || (is_bracketed && bracket + 1 != colon)) return "";
  std::string lower(is_bracketed ? host.substr(1, bracket - 1) : host.substr(0, colon));
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return lower;
}

bool equal_in_constant_time(std::string_view given, std::string_view secret) {
  // All of what was given is compared, whatever the secret's length.
  volatile std::uint8_t difference = given.size() == secret.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const char expected = secret.empty() ? '\0' : secret[i % secret.size()];
    difference = static_cast<std::uint8_t>(difference | static_cast<std::uint8_t>(given[i] ^ expected));
  }
  return difference == 0;
}

bool Gate::host_is_allowed(std::string_view host) const {
  if (options_.allowed_hosts.empty()) return true;
  const std::string name = host_name(host);
  return std::find(options_.allowed_hosts.begin(), options_.allowed_hosts.end(), name) != options_.allowed_hosts.end();
}

bool Gate::is_foreign(std::string_view origin) const {
  return std::any_of(options_.cors_origins.begin(), options_.cors_origins.end(),
                     [&](const std::string& allowed) { return allowed == "*" || allowed == origin; });
}

bool Gate::origin_is_allowed(const HttpRequest& head, std::string_view origin) const {
  const std::string_view host = head.header("Host");
  for (const std::string_view scheme : {"http://", "https://"})
    if (origin.size() == scheme.size() + host.size() && origin.substr(0, scheme.size()) == scheme &&
        equal_ignoring_case(origin.substr(scheme.size()), host))
      return true;
  return is_foreign(origin);
}

bool Gate::has_key(const HttpRequest& head) const {
  std::string_view given = head.header("Authorization");
  static constexpr std::string_view kBearer = "Bearer ";
  if (given.size() > kBearer.size() && equal_ignoring_case(given.substr(0, kBearer.size()), kBearer)) {
    given.remove_prefix(kBearer.size());
  } else {
    given = head.header("X-Api-Key");
  }
  bool found = false;
  for (const std::string& key : options_.api_keys) found = equal_in_constant_time(given, key) || found;
  return found && !given.empty();
}

std::optional<HttpReply> Gate::refuse(const HttpRequest& head, bool is_public) const {
  if (head.count("Host") > 1 || (head.is_http_11 && head.count("Host") != 1))
    return reply_of(refusal(400, "the request needs one Host header", "bad_host"));
  if (!host_is_allowed(head.header("Host")))
    return reply_of(refusal(403, "this server is not known by the name of the Host header; --allowed-host adds names",
                            "host_not_allowed"));
  const std::string_view origin = head.header("Origin");
  if (!origin.empty() && !origin_is_allowed(head, origin))
    return reply_of(
        refusal(403, "pages of this origin may not use the server; --cors-origin allows them", "origin_not_allowed"));
  if (head.method == "OPTIONS") {
    HttpReply reply;
    reply.status = 204;
    reply.headers = {{"Access-Control-Allow-Methods", "GET, POST, OPTIONS"},
                     {"Access-Control-Allow-Headers", allowed_headers(head)},
                     {"Access-Control-Max-Age", "600"}};
    add_cors(head, reply.headers);
    return reply;
  }
  if (!is_public && !options_.api_keys.empty() && !has_key(head)) {
    HttpReply reply =
        reply_of(refusal(401, "a valid API key is needed: \"Authorization: Bearer KEY\"", "invalid_api_key"));
    add_cors(head, reply.headers);
    return reply;
  }
  return {};
}

void Gate::add_cors(const HttpRequest& request, Headers& headers) const {
  const std::string_view origin = request.header("Origin");
  if (origin.empty() || !is_foreign(origin)) return;
  headers.emplace_back("Access-Control-Allow-Origin", std::string(origin));
  headers.emplace_back("Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
  headers.emplace_back("Vary", "Origin");
}

}  // namespace nibble::server
