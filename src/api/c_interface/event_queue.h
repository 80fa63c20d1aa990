// Events of a request, from the engine's thread to whoever reads them.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "nibble/engine.h"

namespace nibble::c {

/// As long as the reader does not come, events stay: at most one per token of the answer.
class EventQueue {
 public:
  void push(Event event) {
    {
      const std::lock_guard lock(mutex_);
      events_.push_back(std::move(event));
    }
    arrived_.notify_one();
  }

  /// The next event; none within the time (negative: any): nothing.
  std::optional<Event> pop(int timeout_ms) {
    std::unique_lock lock(mutex_);
    const auto there = [&] { return !events_.empty(); };
    if (timeout_ms < 0) {
      arrived_.wait(lock, there);
    } else if (!arrived_.wait_for(lock, std::chrono::milliseconds(timeout_ms), there)) {
      return std::nullopt;
    }
    Event event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<Event> events_;
};

/// A request under way: ended when this is destroyed, without waiting for it.
class RunningRequest {
 public:
  static Result<std::unique_ptr<RunningRequest>> start(std::shared_ptr<Engine> engine, Request request) {
    auto queue = std::make_shared<EventQueue>();  // the sink's own, for it may outlive this
    const Result<RequestId> id =
        engine->submit(std::move(request), [queue](Event event) { queue->push(std::move(event)); });
    if (!id.ok()) return id.error();
    return std::unique_ptr<RunningRequest>(new RunningRequest(std::move(engine), std::move(queue), *id));
  }
  ~RunningRequest() { cancel(); }
  RunningRequest(const RunningRequest&) = delete;
  RunningRequest& operator=(const RunningRequest&) = delete;

  std::optional<Event> next(int timeout_ms) { return queue_->pop(timeout_ms); }
  void cancel() { engine_->cancel(id_); }

 private:
  RunningRequest(std::shared_ptr<Engine> engine, std::shared_ptr<EventQueue> queue, RequestId id)
      : engine_(std::move(engine)), queue_(std::move(queue)), id_(id) {}

  std::shared_ptr<Engine> engine_;
  std::shared_ptr<EventQueue> queue_;
  RequestId id_;
};

}  // namespace nibble::c
