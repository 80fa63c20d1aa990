// Between callers' threads and the scheduler's.
#include "run/engine_loop.h"

#include <algorithm>
#include <exception>
#include <new>
#include <utility>

#include "base/check.h"

namespace nibble {

class EngineLoop::Place final : public QueuePlace {
 public:
  /// With the lock held; gives itself back without.
  Place(std::shared_ptr<Reserved> reserved, std::int64_t tokens) : reserved_(std::move(reserved)), tokens_(tokens) {
    ++reserved_->requests;
    reserved_->tokens += tokens_;
  }
  ~Place() override {
    if (used_) return;
    const std::lock_guard lock(reserved_->mutex);
    give_back();
  }

  /// With the lock held: a request takes the place.
  void use() {
    give_back();
    used_ = true;
  }
  bool belongs_to(const std::shared_ptr<Reserved>& reserved) const { return reserved_ == reserved; }
  std::int64_t tokens() const { return tokens_; }

 private:
  void give_back() {
    --reserved_->requests;
    reserved_->tokens -= tokens_;
  }

  std::shared_ptr<Reserved> reserved_;
  std::int64_t tokens_;
  bool used_ = false;
};

EngineLoop::EngineLoop(std::shared_ptr<const void> keep_alive, std::unique_ptr<CpuExecutor> executor,
                       std::shared_ptr<const Tokenizer> tokenizer, const EngineOptions& options)
    : keep_alive_(std::move(keep_alive)),
      options_(options),
      scheduler_(std::move(executor), std::move(tokenizer), options),
      reserved_(std::make_shared<Reserved>()),
      stats_(scheduler_.stats()),
      thread_([this] { thread_main(); }) {}

EngineLoop::~EngineLoop() { shutdown(); }

/// With the lock held: whether there is room beside what waits already for a request of so many tokens, for which a
/// place for `placed` of them (-1: no place) is held.
Status EngineLoop::check_room(std::int64_t tokens, std::int64_t placed) {
  const std::int64_t requests = stats_.waiting + reserved_->requests - (placed >= 0 ? 1 : 0);
  const std::int64_t others = stats_.waiting_tokens + reserved_->tokens - std::max<std::int64_t>(placed, 0);
  Status status;
  if (refuse_) {
    status = fail(ErrorCode::kBusy, "the engine is shutting down");
  } else if (requests >= options_.max_waiting) {
    status = fail(ErrorCode::kBusy, "the queue is full: {} requests are waiting; try again later", requests);
  } else if (requests > 0 && tokens > placed && others + tokens > options_.max_waiting_tokens) {
    status = fail(ErrorCode::kBusy, "the queue is full: {} tokens are waiting; try again later", others);
  }
  if (!status.ok()) ++refused_;
  return status;
}

Result<std::unique_ptr<QueuePlace>> EngineLoop::reserve(std::int64_t tokens) try {
  tokens = std::clamp<std::int64_t>(tokens, 0, std::int64_t{1} << 40);
  const std::lock_guard lock(reserved_->mutex);
  NIBBLE_TRY_STATUS(check_room(tokens, -1));
  return std::unique_ptr<QueuePlace>(std::make_unique<Place>(reserved_, tokens));
} catch (const std::bad_alloc&) {
  return fail(ErrorCode::kOutOfMemory, "out of memory for another request");
}

Result<RequestId> EngineLoop::submit(std::unique_ptr<QueuePlace> place, Request request, EventSink sink) try {
  auto* own = dynamic_cast<Place*>(place.get());
  if (place != nullptr && (own == nullptr || !own->belongs_to(reserved_)))
    return fail(ErrorCode::kInvalidArgument, "the place is in another engine's queue");
  NIBBLE_TRY_STATUS(scheduler_.check(request));
  const std::lock_guard lock(reserved_->mutex);
  const auto tokens = std::ssize(request.prompt);
  NIBBLE_TRY_STATUS(check_room(tokens, own != nullptr ? own->tokens() : -1));
  inbox_.push_back({last_id_ + 1, std::move(request), std::move(sink), Job::Clock::now()});
  ++stats_.waiting;
  stats_.waiting_tokens += tokens;
  if (own != nullptr) own->use();
  wake_.notify_one();
  return ++last_id_;
} catch (const std::bad_alloc&) {
  return fail(ErrorCode::kOutOfMemory, "out of memory for another request");
}

void EngineLoop::cancel(RequestId id) {
  const std::lock_guard lock(reserved_->mutex);
  cancels_.push_back(id);
  wake_.notify_one();
}

EngineStats EngineLoop::stats() const {
  const std::lock_guard lock(reserved_->mutex);
  EngineStats stats = stats_;
  stats.waiting += reserved_->requests;
  stats.waiting_tokens += reserved_->tokens;
  stats.requests_refused = refused_;
  return stats;
}

bool EngineLoop::drain(double seconds) {
  std::unique_lock lock(reserved_->mutex);
  refuse_ = true;
  const auto longest = std::chrono::duration<double>(std::clamp(seconds, 0.0, 1e8));
  return idle_.wait_for(lock, longest, [this] { return ended_ || (inbox_.empty() && !at_work_); });
}

void EngineLoop::shutdown() {
  {
    const std::lock_guard lock(reserved_->mutex);
    refuse_ = true;
    stop_ = true;
    wake_.notify_one();
  }
  const std::lock_guard joining(join_mutex_);
  if (thread_.joinable()) thread_.join();
}

void EngineLoop::run_step(std::vector<Submitted> arrived, const std::vector<RequestId>& cancelled, bool stop) {
  try {
    for (Submitted& s : arrived) scheduler_.add(s.id, std::move(s.request), std::move(s.sink), s.when);
    if (stop) return scheduler_.cancel_all();
    for (const RequestId id : cancelled) scheduler_.cancel(id);
    scheduler_.step();
  } catch (const std::bad_alloc&) {
    scheduler_.fail_all({ErrorCode::kOutOfMemory, "out of memory; use a smaller model, fewer bits or fewer requests"});
  } catch (const std::exception& e) {
    scheduler_.fail_all(
        {ErrorCode::kInternal, std::string("this is a defect in Nibble, please report it: ") + e.what()});
  }
}

void EngineLoop::thread_main() {
  std::unique_lock lock(reserved_->mutex);
  for (bool stop = false; !stop;) {
    const auto asked = [this] { return stop_ || at_work_ || !inbox_.empty() || !cancels_.empty(); };
    while (!asked()) {
      lock.unlock();
      const bool more = scheduler_.prepare_block();
      lock.lock();
      if (!more) wake_.wait(lock, asked);
    }
    stop = stop_;
    at_work_ = true;
    std::vector<Submitted> arrived = std::exchange(inbox_, {});
    const std::vector<RequestId> cancelled = std::exchange(cancels_, {});
    lock.unlock();
    run_step(std::move(arrived), cancelled, stop);
    lock.lock();
    stats_ = scheduler_.stats();
    for (const Submitted& s : inbox_) {  // that came meanwhile
      ++stats_.waiting;
      stats_.waiting_tokens += std::ssize(s.request.prompt);
    }
    at_work_ = !scheduler_.idle();
    if (!at_work_) idle_.notify_all();
  }
  ended_ = true;
  idle_.notify_all();
}

}  // namespace nibble
