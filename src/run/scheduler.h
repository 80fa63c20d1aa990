// Which requests run, and what of them in each step of the model. One thread uses it; EngineLoop is that thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "nibble/engine.h"
#include "run/continuation.h"
#include "run/cpu_executor.h"
#include "run/prefix_index.h"

namespace nibble {

/// A request between its submission and its last event.
struct Job {
  using Clock = std::chrono::steady_clock;

  RequestId id = 0;
  Request request;  ///< its prompt is `tokens` now
  EventSink sink;
  std::vector<std::int32_t> tokens;  ///< the prompt, and what was chosen since
  std::size_t prompt_size = 0;
  std::unique_ptr<Sequence> sequence;  ///< null: the job waits
  std::optional<Continuation> continuation;
  std::vector<double> embedding_sum;
  std::size_t indexed_blocks = 0;  ///< that the prefix index was told of
  bool started = false;
  bool preempted = false;
  bool cancelled = false;
  std::optional<Error> error;
  Outcome outcome;
  Clock::time_point submitted;
  Clock::time_point began;
  Clock::time_point first_token;

  /// Tokens that the model has yet to see: 1 while the answer is written, more while the prompt is read.
  std::int64_t missing() const { return std::ssize(tokens) - (sequence != nullptr ? sequence->length() : 0); }
  bool embeds() const { return request.kind == Request::Kind::kEmbedding; }
};

/// Each step runs, in this order: a token of every text that is written; then slices of prompts, first come first
/// served, up to a budget. A request is admitted when the blocks for its prompt are there beside what those running
/// will need for theirs. When blocks run out, the one that was admitted last gives its own back and waits, first in the
/// queue, to compute them again; what it has said already stays said.
class Scheduler {
 public:
  Scheduler(std::unique_ptr<CpuExecutor> executor, std::shared_ptr<const Tokenizer> tokenizer,
            const EngineOptions& options);

  /// Refuses what can never run. From any thread.
  Status check(const Request& request) const;

  void add(RequestId id, Request request, EventSink sink, Job::Clock::time_point submitted);
  /// Ends a job now.
  void cancel(RequestId id);
  void cancel_all();
  /// Ends all with an error.
  void fail_all(const Error& error);

  /// For when there is nothing else to do: has the system give memory for one more block (KvBlockPool::prepare), so
  /// that texts to come do not wait for it. False when there is enough.
  bool prepare_block();
  bool idle() const { return waiting_.empty() && running_.empty(); }
  void step();

  /// What it knows of EngineStats.
  EngineStats stats() const;

 private:
  using JobPtr = std::unique_ptr<Job>;
  struct Part {  ///< of a step
    Job* job;
    std::int64_t tokens;
  };

  KvBlockPool& main_pool() const;
  std::size_t blocks_for(std::int64_t tokens) const;
  /// Blocks that running jobs will take for the tokens they have.
  std::size_t blocks_promised() const;
  void admit();
  bool has_room_for(const Job& job) const;
  /// Whether what comes next for a job is a block that others may have computed.
  bool may_adopt(const Job& job) const;
  /// Returns the number of tokens adopted.
  std::int64_t adopt_known_blocks(Job& job) const;
  /// The same for the beginning of a block that differs later.
  std::int64_t adopt_known_beginning(Job& job) const;
  void count_cached(Job& job, std::int64_t tokens);
  void start(Job& job);
  std::vector<Part> plan();
  void plan_written(std::vector<Part>& parts);
  void plan_prompts(std::vector<Part>& parts);
  std::int64_t prompt_budget(bool beside_others) const;
  void note_speed(std::span<const Part> parts, double seconds);
  bool computed_beside(const Job& job, std::span<const Part> parts) const;
  std::int64_t reservable(Job& job, std::int64_t tokens) const;
  void preempt_last();
  Status run(std::span<const Part> parts);
  void take_outputs(std::span<const Part> parts, std::span<const OutputRows> outputs);
  void take_output(Job& job, const OutputRows& rows) const;
  void after_step(Job& job);
  void emit(Job& job, Event event);
  void finish(Job& job);
  void remove_finished();

  std::unique_ptr<CpuExecutor> executor_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  EngineOptions options_;
  std::int64_t longest_ = 0;  ///< tokens that one job can have in the cache
  std::unique_ptr<PrefixIndex> prefixes_;
  std::deque<JobPtr> waiting_;
  std::vector<JobPtr> running_;          ///< in the order of admission
  double seconds_per_prompt_token_ = 0;  ///< of late; 0: not known yet
  EngineStats totals_;
};

}  // namespace nibble
