// A request for text under way: answers of an engine, brought into a format and to the client.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "answer.h"
#include "exchange.h"
#include "metrics.h"
#include "sampling_fields.h"
#include "served_models.h"

namespace nibble::server {

struct Prompt {
  std::vector<std::int32_t> tokens;
  std::string text;  ///< where it is wanted back
};

/// What a handler makes of a request.
struct GenerationJob {
  const ServedModel* model = nullptr;
  std::vector<Prompt> prompts;
  TextFields text;
  GenerateOptions options;
  int logprobs = -1;                                   ///< Request::logprobs
  std::int64_t max_whole_logprobs = 0;                 ///< RequestDefaults::max_whole_logprobs
  ConstraintMaker constraint;                          ///< may be empty
  std::vector<std::unique_ptr<AnswerReader>> readers;  ///< one for each answer, or none: all text is content
  std::unique_ptr<AnswerFormat> format;
  std::unique_ptr<QueuePlace> place;  ///< of the first answer; may be null
};

/// What a request is told that asks for more log probabilities than that.
std::string too_many_logprobs(std::int64_t most);

/// Lives as long as the engine or the exchange has something for it; on the exchange's thread.
class Generation final : public std::enable_shared_from_this<Generation> {
 public:
  /// `metrics` outlives it.
  Generation(std::shared_ptr<Exchange> exchange, GenerationJob job, Metrics& metrics);
  /// Submits the answers, as many as the queue takes and the others as those are done, or replies with what is in the
  /// way.
  void start();
  void on_event(std::size_t answer, Event& event);

 private:
  Result<RequestId> submit(std::size_t answer);
  void submit_more();
  /// For an answer that is given whole; false when it grows too large.
  bool keep(const Answer& answer, const AnswerDelta& delta);
  void on_outcome(std::size_t answer);
  void finish();
  void fail(const Error& error);
  void cancel_all();
  Usage usage() const;

  std::shared_ptr<Exchange> exchange_;
  GenerationJob job_;
  Metrics& metrics_;
  std::vector<Answer> answers_;
  std::vector<RequestId> ids_;
  std::vector<double> first_token_seconds_;
  std::int64_t logprobs_ = 0;  ///< that are kept
  std::size_t open_ = 0;       ///< answers without an outcome
  bool has_begun_ = false;     ///< the stream has
  bool is_over_ = false;       ///< the client has its answer, or is gone
};

}  // namespace nibble::server
