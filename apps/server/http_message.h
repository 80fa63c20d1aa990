// Requests and answers as handlers see them; how they travel is connection.h's business.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nibble::server {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;
  std::string path;   ///< decoded, without the query
  std::string query;  ///< as sent, without "?"
  Headers headers;
  std::string body;
  std::string peer;  ///< the client's address
  bool is_http_11 = true;

  /// The first header of that name, in any case; empty if there is none.
  std::string_view header(std::string_view name) const;
  int count(std::string_view name) const;
  /// A parameter of the query, decoded; empty if there is none.
  std::string parameter(std::string_view name) const;
};

struct HttpReply {
  int status = 200;
  std::string content_type = "application/json";
  Headers headers;
  std::string body;
  bool close = false;  ///< the connection ends with this answer
};

bool equal_ignoring_case(std::string_view a, std::string_view b);
/// "%2F" to "/", and "+" to a space where `is_query`; what is no escape stays.
std::string percent_decoded(std::string_view text, bool is_query);
std::string_view reason_of(int status);
/// Status line and headers of an answer, with the empty line. `length`: of the body; -1: it comes in chunks; -2: until
/// the connection closes.
std::string head_of(const HttpReply& reply, std::int64_t length, bool keep_alive);

}  // namespace nibble::server
