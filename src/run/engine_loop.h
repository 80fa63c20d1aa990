// The engine's thread: takes requests in, runs the scheduler's steps, and keeps the limits of the queue.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "nibble/engine.h"
#include "run/scheduler.h"

namespace nibble {

class EngineLoop final : public Engine {
 public:
  /// `keep_alive` is held as long as the thread runs.
  EngineLoop(std::shared_ptr<const void> keep_alive, std::unique_ptr<CpuExecutor> executor,
             std::shared_ptr<const Tokenizer> tokenizer, const EngineOptions& options);
  ~EngineLoop() override;

  Result<std::unique_ptr<QueuePlace>> reserve(std::int64_t tokens) override;
  Result<RequestId> submit(std::unique_ptr<QueuePlace> place, Request request, EventSink sink) override;
  void cancel(RequestId id) override;
  EngineStats stats() const override;
  bool drain(double seconds) override;
  void shutdown() override;

 private:
  struct Submitted {
    RequestId id = 0;
    Request request;
    EventSink sink;
    Job::Clock::time_point when;
  };
  /// What is taken of the queue, beside what the scheduler holds. Outlives the engine with its last place.
  struct Reserved {
    std::mutex mutex;  ///< also the engine's
    std::int64_t requests = 0;
    std::int64_t tokens = 0;
  };
  class Place;

  Status check_room(std::int64_t tokens, std::int64_t placed);
  void thread_main();
  void run_step(std::vector<Submitted> arrived, const std::vector<RequestId>& cancelled, bool stop);

  std::shared_ptr<const void> keep_alive_;
  EngineOptions options_;
  Scheduler scheduler_;  ///< the thread's own, but for check()

  std::shared_ptr<Reserved> reserved_;  ///< its mutex guards what follows
  std::condition_variable wake_;
  std::condition_variable idle_;
  std::vector<Submitted> inbox_;
  std::vector<RequestId> cancels_;
  RequestId last_id_ = 0;
  bool refuse_ = false;
  bool stop_ = false;
  bool at_work_ = false;  ///< the scheduler has jobs, or is being given some
  bool ended_ = false;
  std::int64_t refused_ = 0;
  EngineStats stats_;  ///< of the scheduler after its last step, and what was handed to it since

  std::mutex join_mutex_;
  std::thread thread_;
};

}  // namespace nibble
