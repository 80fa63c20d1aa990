#include "empty_engine.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/utf8.h"

namespace nibble::server {
namespace {

constexpr std::int64_t kBlockTokens = 64;
constexpr std::size_t kEmbeddingSize = 8;
constexpr auto kMostLate = std::chrono::milliseconds(100);

std::int64_t blocks_of(const Request& request) {
  return (std::ssize(request.prompt) + kBlockTokens - 1) / kBlockTokens;
}

TokenLogprob logprob_of(std::int32_t id, float logprob) {
  return {id, logprob, id < kEmptyModelEnd ? std::string(1, static_cast<char>(id)) : std::string()};
}

GeneratedToken token_of(std::int32_t id, int logprobs) {
  GeneratedToken token;
  token.id = id;
  if (logprobs < 0) return token;
  token.logprob = logprob_of(id, -0.5F);
  for (int i = 0; i < logprobs; ++i)
    token.top.push_back(logprob_of((id + i) % kEmptyModelVocabulary, -0.5F - static_cast<float>(i)));
  return token;
}

std::vector<float> embedding_of(const Request& request) {
  std::vector<float> vector(kEmbeddingSize);
  for (const std::int32_t id : request.prompt) vector[static_cast<std::size_t>(id) % kEmbeddingSize] += 1;
  float square = 0;
  for (const float x : vector) square += x * x;
  if (request.normalize)
    for (float& x : vector) x /= std::sqrt(square);
  return vector;
}

}  // namespace

class EmptyEngine::Place final : public QueuePlace {
 public:
  /// With the lock held; gives itself back without.
  Place(std::shared_ptr<Queue> queue, std::int64_t tokens) : queue_(std::move(queue)), tokens_(tokens) {
    ++queue_->requests;
    queue_->tokens += tokens_;
  }
  ~Place() override {
    if (is_used_) return;
    const std::lock_guard lock(queue_->mutex);
    give_back();
  }
  /// With the lock held.
  void use() {
    give_back();
    is_used_ = true;
  }
  std::int64_t tokens() const { return tokens_; }

 private:
  void give_back() {
    --queue_->requests;
    queue_->tokens -= tokens_;
  }

  std::shared_ptr<Queue> queue_;
  std::int64_t tokens_;
  bool is_used_ = false;
};

EmptyEngine::EmptyEngine(const EmptyModelOptions& options) : options_(options), queue_(std::make_shared<Queue>()) {
  stats_.kv_blocks = options_.engine.max_running * ((options_.context + kBlockTokens - 1) / kBlockTokens);
  if (!options_.synchronous) thread_ = std::thread([this] { thread_main(); });
}

EmptyEngine::~EmptyEngine() { EmptyEngine::shutdown(); }

/// With the lock held: as the real engine's queue.
Status EmptyEngine::check_room(std::int64_t tokens, std::int64_t placed) {
  const std::int64_t requests = stats_.waiting + queue_->requests - (placed >= 0 ? 1 : 0);
  const std::int64_t others = stats_.waiting_tokens + queue_->tokens - std::max<std::int64_t>(placed, 0);
  const bool is_full = requests >= options_.engine.max_waiting ||
                       (requests > 0 && tokens > placed && others + tokens > options_.engine.max_waiting_tokens);
  if (!refuse_ && !is_full) return {};
  ++stats_.requests_refused;
  return Error{ErrorCode::kBusy, refuse_ ? "the engine is shutting down" : "the queue is full; try again later"};
}

Result<std::unique_ptr<QueuePlace>> EmptyEngine::reserve(std::int64_t tokens) {
  const std::lock_guard lock(queue_->mutex);
  if (const Status room = check_room(tokens, -1); !room.ok()) return room.error();
  return std::unique_ptr<QueuePlace>(std::make_unique<Place>(queue_, tokens));
}

Status EmptyEngine::check(const Request& request) const {
  const bool are_ids = std::all_of(request.prompt.begin(), request.prompt.end(),
                                   [](std::int32_t id) { return id >= 0 && id < kEmptyModelVocabulary; });
  if (request.prompt.empty() || !are_ids)
    return Error{ErrorCode::kInvalidArgument, "a prompt of no or of wrong tokens"};
  if (std::ssize(request.prompt) >= options_.context)
    return Error{ErrorCode::kInvalidArgument, "the prompt leaves no room in the context"};
  return {};
}

Result<RequestId> EmptyEngine::submit(std::unique_ptr<QueuePlace> place, Request request, EventSink sink) {
  if (const Status status = check(request); !status.ok()) return status.error();
  Job job;
  job.request = std::move(request);
  job.sink = std::move(sink);
  job.submitted = job.started = job.first_token = Clock::now();
  plan(job);
  const std::int64_t tokens = std::ssize(job.request.prompt);
  auto* own = static_cast<Place*>(place.get());
  std::unique_lock lock(queue_->mutex);
  if (const Status room = check_room(tokens, own != nullptr ? own->tokens() : -1); !room.ok()) return room.error();
  if (own != nullptr) own->use();
  const RequestId id = job.id = ++last_id_;
  ++stats_.requests_accepted;
  if (options_.synchronous) {
    stats_.prompt_tokens += tokens;
    stats_.prompt_tokens_computed += tokens;
    lock.unlock();
    while (!run_one(job)) continue;
    return id;
  }
  ++stats_.waiting;
  stats_.waiting_tokens += tokens;
  waiting_.push_back(std::move(job));
  wake_.notify_one();
  return id;
}

/// Finds out how the answer ends.
void EmptyEngine::plan(Job& job) const {
  const GenerateOptions& asked = job.request.options;
  const std::int64_t prompt = std::ssize(job.request.prompt);
  const std::int64_t room = options_.context - prompt;
  const std::int64_t most = asked.max_tokens > 0 ? std::min(asked.max_tokens, room) : room;
  const std::int64_t own = asked.ignore_eos ? room : std::max(prompt, asked.min_tokens);
  job.count = std::min(most, own);
  if (own > most) job.reason = most < room ? StopReason::kMaxTokens : StopReason::kContextFull;
  job.text_bytes = std::string::npos;
  if (asked.stop.empty()) return;
  Job trial;
  trial.request.prompt = job.request.prompt;
  trial.count = job.count;
  trial.text_bytes = job.text_bytes;
  std::string text;
  while (trial.written < job.count && job.reason != StopReason::kStopString) {
    text += next_event(trial).text;
    for (const std::string& stop : asked.stop) {
      const std::size_t at = text.find(stop);
      if (at >= job.text_bytes) continue;
      job.text_bytes = at;
      job.count = trial.written;
      job.reason = StopReason::kStopString;
      job.stop_string = stop;
    }
  }
}

/// The text that a token makes whole.
std::string EmptyEngine::next_text(Job& job, std::int32_t id) const {
  if (id < kEmptyModelEnd) job.pending += static_cast<char>(id);
  const std::size_t tail = job.written == job.count ? 0 : incomplete_utf8_tail(job.pending);
  std::string text = replace_malformed_utf8(std::string_view(job.pending).substr(0, job.pending.size() - tail));
  job.pending.erase(0, job.pending.size() - tail);
  if (job.text_bytes != std::string::npos) {
    text.resize(std::min(text.size(), job.text_bytes));
    job.text_bytes -= text.size();
  }
  return text;
}

Event EmptyEngine::next_event(Job& job) const {
  const std::vector<std::int32_t>& prompt = job.request.prompt;
  const std::int32_t id = prompt[static_cast<std::size_t>(job.written) % prompt.size()];
  ++job.written;
  Event event;
  event.text = next_text(job, id);
  event.tokens.push_back(token_of(id, job.request.logprobs));
  return event;
}

/// A step of a request; whether it was the last.
bool EmptyEngine::run_one(Job& job) {
  Event event;
  if (job.request.kind == Request::Kind::kEmbedding) {
    event.embedding = embedding_of(job.request);
  } else {
    event = next_event(job);
    if (job.written == 1) job.first_token = Clock::now();
    if (job.written < job.count) {
      job.sink(std::move(event));
      return false;
    }
  }
  finish(job, std::move(event));
  return true;
}

void EmptyEngine::finish(Job& job, Event event) {
  const auto seconds = [](Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
  };
  Outcome outcome;
  outcome.reason = job.reason;
  outcome.stop_string = job.stop_string;
  outcome.prompt_tokens = std::ssize(job.request.prompt);
  outcome.generated_tokens = job.written;
  outcome.queue_seconds = seconds(job.submitted, job.started);
  outcome.prompt_seconds = seconds(job.started, job.first_token);
  outcome.decode_seconds = seconds(job.first_token, Clock::now());
  {
    const std::lock_guard lock(queue_->mutex);
    stats_.generated_tokens += job.written;
    ++(job.reason == StopReason::kCancelled ? stats_.requests_cancelled : stats_.requests_finished);
  }
  event.outcome = std::move(outcome);
  job.sink(std::move(event));
}

void EmptyEngine::cancel(RequestId id) {
  const std::lock_guard lock(queue_->mutex);
  if (!options_.synchronous && id > 0 && id <= last_id_) cancels_.insert(id);
  wake_.notify_one();
}

EngineStats EmptyEngine::stats() const {
  const std::lock_guard lock(queue_->mutex);
  EngineStats stats = stats_;
  stats.waiting += queue_->requests;
  stats.waiting_tokens += queue_->tokens;
  return stats;
}

bool EmptyEngine::drain(double seconds) {
  std::unique_lock lock(queue_->mutex);
  refuse_ = true;
  return idle_.wait_for(lock, std::chrono::duration<double>(std::clamp(seconds, 0.0, 1e8)),
                        [this] { return stats_.waiting + stats_.running == 0; });
}

void EmptyEngine::shutdown() {
  {
    const std::lock_guard lock(queue_->mutex);
    refuse_ = stop_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

/// With the lock held: waiting requests become running ones, as many as may, and those that are to end.
void EmptyEngine::admit(const std::unordered_set<RequestId>& cancelled) {
  std::deque<Job> left;
  for (Job& job : waiting_) {
    const bool has_room = std::ssize(running_) < options_.engine.max_running;
    if (!has_room && !stop_ && cancelled.count(job.id) == 0) {
      left.push_back(std::move(job));
      continue;
    }
    job.started = job.first_token = Clock::now();
    --stats_.waiting;
    stats_.waiting_tokens -= std::ssize(job.request.prompt);
    stats_.prompt_tokens += std::ssize(job.request.prompt);
    stats_.prompt_tokens_computed += std::ssize(job.request.prompt);
    running_.push_back(std::move(job));
  }
  waiting_ = std::move(left);
  stats_.running = std::ssize(running_);
}

void EmptyEngine::run_step() {
  std::unordered_set<RequestId> cancelled;
  bool stop = false;
  {
    const std::lock_guard lock(queue_->mutex);
    stop = stop_;
    cancelled.swap(cancels_);
    const bool may_join = std::ssize(running_) < options_.engine.max_running;
    if (!waiting_.empty() && (may_join || stop || !cancelled.empty())) admit(cancelled);
    ++stats_.steps;
  }
  for (Job& job : running_) {
    const bool is_cancelled = stop || cancelled.count(job.id) > 0;
    if (is_cancelled) {
      job.reason = StopReason::kCancelled;
      finish(job, {});
    }
    if (is_cancelled || run_one(job)) job.id = 0;
  }
  running_.erase(std::remove_if(running_.begin(), running_.end(), [](const Job& job) { return job.id == 0; }),
                 running_.end());
  const std::lock_guard lock(queue_->mutex);
  stats_.running = std::ssize(running_);
  stats_.kv_blocks_used = 0;
  for (const Job& job : running_) stats_.kv_blocks_used += blocks_of(job.request);
  if (stats_.waiting + stats_.running == 0) idle_.notify_all();
}

void EmptyEngine::thread_main() {
  auto next = Clock::now();
  for (;;) {
    {
      std::unique_lock lock(queue_->mutex);
      const bool was_idle = running_.empty() && waiting_.empty();
      wake_.wait(lock, [this] { return stop_ || !running_.empty() || !waiting_.empty(); });
      if (stop_ && running_.empty() && waiting_.empty()) return;
      if (was_idle) next = Clock::now();
    }
    run_step();
    // Steps that come a little late are made up for.
    next = std::max(next + options_.step_time, Clock::now() - kMostLate);
    std::this_thread::sleep_until(next);
  }
}

}  // namespace nibble::server
