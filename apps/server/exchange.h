// One request and the answer to it, for a handler. The connection implements it; tests record what a handler does.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "http_message.h"

namespace nibble::server {

/// What the access log says of a request; handlers add to it. No text of prompts or answers.
struct AccessRecord {
  std::string request_id;
  std::string model;
  std::string finish;  ///< how the first answer ended, or why there was none
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_tokens = 0;
  std::int64_t generated_tokens = 0;
  double queue_seconds = 0;
};

/// All functions but post() are called on the exchange's own thread.
class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  virtual ~Exchange() = default;

  /// Runs a task on the exchange's thread, behind those posted before. From any thread.
  virtual void post(std::function<void()> task) = 0;

  /// The whole answer. Exactly one of reply() and begin_stream() is called, once.
  virtual void reply(HttpReply reply) = 0;
  /// The beginning of an answer whose body comes in pieces: write() any number of times, then end_stream().
  virtual void begin_stream(HttpReply head) = 0;
  virtual void write(std::string_view piece) = 0;
  virtual void end_stream() = 0;

  /// Calls `task` once if the client goes away, or stops reading, before the answer is whole.
  virtual void on_gone(std::function<void()> task) = 0;

  HttpRequest request;
  Headers headers;  ///< of any answer
  AccessRecord record;
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
};

/// What a connection asks of the program behind it.
class Handler {
 public:
  virtual ~Handler() = default;
  /// Judges a request by its headers, before its body is read: a reply refuses it.
  virtual std::optional<HttpReply> refuse(const HttpRequest& head) = 0;
  /// Answers a request, now or later. Must not block.
  virtual void handle(std::shared_ptr<Exchange> exchange) = 0;
  /// What went wrong before there was a whole request, as an answer.
  virtual HttpReply protocol_error(int status, std::string_view message) = 0;
  /// A request was answered, or its client has gone: status 499.
  virtual void answered(const Exchange& exchange, int status, std::uint64_t bytes) = 0;
};

}  // namespace nibble::server
