// Many requests at once on one model: what a server, a binding or any program with more than one text to write uses.
//
// One thread owns the model's work. Each of its steps runs one batch: a token of every text under way, and slices of
// the prompts that are still read. Requests join and leave between steps. Texts that begin alike share the keys and
// values of their beginning. None of it moves a result: a request gives the same tokens alone and among others.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nibble/model.h"
#include "nibble/result.h"
#include "nibble/token_constraint.h"

namespace nibble {

struct EngineOptions {
  int max_running = 32;                       ///< requests that are computed at once
  std::int64_t max_waiting = 256;             ///< requests in the queue
  std::int64_t max_waiting_tokens = 1 << 20;  ///< of their prompts
  /// Bytes of keys and values. 0: what max_running full contexts need, but at most a quarter of the machine's memory,
  /// or one full context if that is more.
  std::uint64_t kv_memory = 0;
  std::int64_t step_tokens = 512;  ///< of prompts in a step, when no text is being written
  /// The same while others are written: they wait so much longer for their next token.
  std::int64_t slice_tokens = 128;
  /// As far as the steps before tell, a slice takes no longer than this beside texts that are written, and four times
  /// as long alone; 0: as long as it takes. At least 16 tokens are read.
  double slice_seconds = 0.25;
  bool reuse_prefixes = true;  ///< keep keys and values of finished texts for those that begin alike
};

struct Request {
  enum class Kind {
    kText,       ///< continue the prompt
    kEmbedding,  ///< the mean of the prompt's last hidden states, after the final norm
  };
  Kind kind = Kind::kText;
  std::vector<std::int32_t> prompt;  ///< at least one token
  GenerateOptions options;
  /// Log probabilities of each token, and of so many of the likeliest, 0 to 20; -1: none.
  int logprobs = -1;
  std::unique_ptr<TokenConstraint> constraint;  ///< optional
  bool normalize = true;                        ///< an embedding has length 1
};

/// The logarithm of a token's probability by the model: of softmax(logits), before biases, penalties, constraints,
/// temperature and filters. So do vLLM (its default logprobs_mode, raw_logprobs) and llama.cpp's server (its default,
/// post_sampling_probs off); OpenAI does not say.
struct TokenLogprob {
  std::int32_t id = 0;
  float logprob = 0;  ///< -infinity where the probability is 0
  std::string bytes;  ///< that the token stands for; not always whole characters
};

struct GeneratedToken {
  std::int32_t id = 0;
  std::optional<TokenLogprob> logprob;  ///< if asked for
  std::vector<TokenLogprob> top;        ///< the likeliest, in descending order; of equals the lowest id first
};

/// How a request ended.
struct Outcome {
  StopReason reason = StopReason::kEnd;
  std::optional<Error> error;      ///< the request failed, and `reason` says nothing
  std::string stop_string;         ///< which one, with StopReason::kStopString
  std::int64_t prompt_tokens = 0;  ///< of the request
  std::int64_t cached_tokens = 0;  ///< of these, known from other requests
  std::int64_t generated_tokens = 0;
  double queue_seconds = 0;   ///< from submit() until the first step
  double prompt_seconds = 0;  ///< from there until the first token
  double decode_seconds = 0;  ///< from there until the end
};

/// What became of a request since its last event. Texts joined are the answer; so are tokens, which may come before
/// their text while that may be the beginning of a stop string or of a character.
struct Event {
  std::string text;  ///< whole characters in UTF-8
  std::vector<GeneratedToken> tokens;
  std::vector<float> embedding;
  std::optional<Outcome> outcome;  ///< the last event; every accepted request gets exactly one
};

/// Called on the engine's thread, and must return at once; there are at most max_tokens + 1 events (max_tokens = 0: as
/// many as the context has positions). May call submit() and cancel(). What it throws cancels the request.
using EventSink = std::function<void(Event event)>;

struct EngineStats {
  std::int64_t running = 0;
  std::int64_t waiting = 0;  ///< accepted, not running; and places reserved
  std::int64_t waiting_tokens = 0;
  std::int64_t kv_blocks = 0;         ///< there are, of 64 tokens each
  std::int64_t kv_blocks_used = 0;    ///< by running requests
  std::int64_t kv_blocks_cached = 0;  ///< kept of finished ones, given up when needed
  // Totals since the engine was made.
  std::int64_t requests_accepted = 0;
  std::int64_t requests_refused = 0;  ///< for want of room in the queue
  std::int64_t requests_finished = 0;
  std::int64_t requests_cancelled = 0;
  std::int64_t requests_failed = 0;
  std::int64_t prompt_tokens = 0;           ///< of started requests
  std::int64_t cached_tokens = 0;           ///< of these, not computed again
  std::int64_t prompt_tokens_computed = 0;  ///< so far, again after a preemption
  std::int64_t generated_tokens = 0;
  std::int64_t preemptions = 0;  ///< requests that had to give their blocks back, and began again
  std::int64_t steps = 0;
  double step_seconds = 0;
  double model_seconds = 0;     ///< of these, in the model
  double sampling_seconds = 0;  ///< and choosing tokens, making text of them
};

using RequestId = std::uint64_t;

/// A place in the queue, held until it is used or destroyed.
class QueuePlace {
 public:
  virtual ~QueuePlace() = default;
};

/// All functions may be called from any thread.
class Engine {
 public:
  /// Sessions of the model can be used meanwhile; they and the engine wait for each other's steps.
  static Result<std::shared_ptr<Engine>> create(const std::shared_ptr<Model>& model, const EngineOptions& options);
  /// As shutdown().
  virtual ~Engine() = default;

  /// Takes a place in the queue for a prompt of at most so many tokens, before the work of finding out what they are.
  /// kBusy when the queue is full or the engine is draining.
  virtual Result<std::unique_ptr<QueuePlace>> reserve(std::int64_t tokens) = 0;

  /// Accepts a request, in the given place or (null) in one of its own. Refuses with kBusy as reserve() does, and with
  /// kInvalidArgument what can never run: token ids outside the vocabulary, a prompt that leaves no room in the context
  /// or in the memory for keys and values. The sink of a refused request is not called.
  virtual Result<RequestId> submit(std::unique_ptr<QueuePlace> place, Request request, EventSink sink) = 0;
  Result<RequestId> submit(Request request, EventSink sink) {
    return submit(nullptr, std::move(request), std::move(sink));
  }

  /// Ends a request within a step, with an event. Nothing if it has ended, or never was.
  virtual void cancel(RequestId id) = 0;

  virtual EngineStats stats() const = 0;

  /// Refuses new requests from now on, and waits until all accepted ones ended, at most so many seconds. Whether they
  /// did. Not from a sink.
  virtual bool drain(double seconds) = 0;
  /// Refuses new requests, cancels all others and ends the thread. Not from a sink.
  virtual void shutdown() = 0;
};

}  // namespace nibble
