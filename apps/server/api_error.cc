#include "api_error.h"

#include "base/json.h"

namespace nibble::server {
namespace {

Json string_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

}  // namespace

ApiError invalid_field(std::string param, std::string message) {
  ApiError error;
  error.message = param.empty() ? std::move(message) : param + ": " + message;
  error.param = std::move(param);
  return error;
}

ApiError api_error_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kNotFound:
    case ErrorCode::kCorrupt:
    case ErrorCode::kUnsupported:
      return {400, error.message, "invalid_request_error", "", ""};
    case ErrorCode::kBusy:
      return {503, error.message, "overloaded_error", "", "server_busy"};
    case ErrorCode::kCancelled:
      return {503, "the server is shutting down", "overloaded_error", "", "shutting_down"};
    case ErrorCode::kOutOfMemory:
      return {503, error.message, "server_error", "", "out_of_memory"};
    case ErrorCode::kIo:
    case ErrorCode::kInternal:
      break;
  }
  return {500, error.message, "server_error", "", "internal_error"};
}

std::string error_json(const ApiError& error) {
  const Json json = {{"error",
                      {{"message", error.message},
                       {"type", error.type},
                       {"param", string_or_null(error.param)},
                       {"code", string_or_null(error.code)}}}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

HttpReply reply_of(const ApiError& error) {
  HttpReply reply;
  reply.status = error.status;
  reply.body = error_json(error);
  if (error.status == 503) reply.headers.emplace_back("Retry-After", "1");
  if (error.status == 401) reply.headers.emplace_back("WWW-Authenticate", "Bearer");
  return reply;
}

HttpReply json_reply(std::string body) {
  HttpReply reply;
  reply.body = std::move(body);
  return reply;
}

}  // namespace nibble::server
