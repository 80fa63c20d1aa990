// The engine of the empty model: steps of a fixed time, a queue with the limits of the real one.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <vector>

#include "empty_model.h"

namespace nibble::server {

class EmptyEngine final : public Engine {
 public:
  explicit EmptyEngine(const EmptyModelOptions& options);
  ~EmptyEngine() override;

  Result<std::unique_ptr<QueuePlace>> reserve(std::int64_t tokens) override;
  Result<RequestId> submit(std::unique_ptr<QueuePlace> place, Request request, EventSink sink) override;
  void cancel(RequestId id) override;
  EngineStats stats() const override;
  bool drain(double seconds) override;
  void shutdown() override;

 private:
  using Clock = std::chrono::steady_clock;

  /// A request under way.
  struct Job {
    RequestId id = 0;
    Request request;
    EventSink sink;
    Clock::time_point submitted, started, first_token;
    std::int64_t count = 0;      ///< tokens of the answer
    std::size_t text_bytes = 0;  ///< of the answer's text, at most
    std::string stop_string;
    StopReason reason = StopReason::kEnd;
    std::int64_t written = 0;  ///< tokens
    std::string pending;       ///< bytes that may become a character
  };
  /// What is taken of the queue; its places may outlive the engine.
  struct Queue {
    std::mutex mutex;  ///< also the engine's
    std::int64_t requests = 0;
    std::int64_t tokens = 0;
  };
  class Place;

  Status check(const Request& request) const;
  Status check_room(std::int64_t tokens, std::int64_t placed);
  void plan(Job& job) const;
  std::string next_text(Job& job, std::int32_t id) const;
  Event next_event(Job& job) const;
  bool run_one(Job& job);
  void admit(const std::unordered_set<RequestId>& cancelled);
  void run_step();
  void finish(Job& job, Event event);
  void thread_main();

  EmptyModelOptions options_;
  std::shared_ptr<Queue> queue_;  ///< its mutex guards what follows
  std::condition_variable wake_;
  std::condition_variable idle_;
  std::deque<Job> waiting_;
  std::unordered_set<RequestId> cancels_;
  RequestId last_id_ = 0;
  bool refuse_ = false;
  bool stop_ = false;
  EngineStats stats_;

  std::vector<Job> running_;  ///< the thread's own
  std::thread thread_;
};

}  // namespace nibble::server
