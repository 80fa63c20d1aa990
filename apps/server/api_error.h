// What is wrong with a request, as OpenAI's error object.
#pragma once

#include <string>
#include <string_view>

#include "http_message.h"
#include "nibble/result.h"

namespace nibble::server {

struct ApiError {
  int status = 400;
  std::string message;
  std::string type = "invalid_request_error";
  std::string param;  ///< the field at fault; empty: none
  std::string code;   ///< a word for programs; empty: none
};

ApiError invalid_field(std::string param, std::string message);
/// The one table from the library's errors to answers. What a request asked for in vain is the client's mistake.
ApiError api_error_of(const Error& error);

/// {"error": {...}}
std::string error_json(const ApiError& error);
HttpReply reply_of(const ApiError& error);
HttpReply json_reply(std::string body);

}  // namespace nibble::server
