// The step: admit, plan, run, hand out what came of it.
#include "run/scheduler.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace nibble {
namespace {

constexpr std::int64_t kBlock = kernel::KvBlockLayout::kTokens;
/// Tokens of each text that may run at once whose blocks are made ready, and the most bytes of all.
constexpr std::int64_t kPreparedTokens = 128;
constexpr std::size_t kMostPrepared = std::size_t{128} << 20;
constexpr std::int64_t kSmallestSlice = 16;  // fewer tokens would make prompts much slower

double seconds_between(Job::Clock::time_point begin, Job::Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

/// How many of the `tokens` that the model has just seen of a job are of its prompt.
std::int64_t prompt_tokens_of(const Job& job, std::int64_t tokens) {
  const std::int64_t begin = job.sequence->length() - tokens;
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(job.prompt_size) - begin, 0, tokens);
}

}  // namespace

Scheduler::Scheduler(std::unique_ptr<CpuExecutor> executor, std::shared_ptr<const Tokenizer> tokenizer,
                     const EngineOptions& options)
    : executor_(std::move(executor)),
      tokenizer_(std::move(tokenizer)),
      options_(options),
      longest_(executor_->model().context_length()),
      prefixes_(options.reuse_prefixes ? std::make_unique<PrefixIndex>(executor_->cache()) : nullptr) {
  if (const auto blocks = static_cast<std::int64_t>(main_pool().max_blocks()); blocks > 0)
    longest_ = std::min(longest_, blocks * kBlock);
}

/// With packed blocks, those: of floats a job needs only the latest.
KvBlockPool& Scheduler::main_pool() const {
  KvCache& cache = *executor_->cache();
  return cache.packed_layout() != nullptr ? cache.packed_blocks() : cache.blocks();
}

std::size_t Scheduler::blocks_for(std::int64_t tokens) const {
  const bool packs = executor_->cache()->packed_layout() != nullptr;
  return static_cast<std::size_t>((packs ? tokens : tokens + kBlock - 1) / kBlock);
}

Status Scheduler::check(const Request& request) const {
  if (request.prompt.empty())
    return fail(ErrorCode::kInvalidArgument, "the prompt is empty and the model has no token to begin with");
  const std::int64_t vocab = executor_->model().config().vocab_size;
  for (const std::int32_t id : request.prompt)
    if (id < 0 || id >= vocab)
      return fail(ErrorCode::kInvalidArgument, "token id {} is outside the vocabulary of {}", id, vocab);
  if (std::ssize(request.prompt) > longest_) {
    const std::int64_t context = executor_->model().context_length();
    if (longest_ < context)
      return fail(ErrorCode::kInvalidArgument,
                  "the prompt has {} tokens, and the memory for keys and values holds {}; shorten the prompt",
                  request.prompt.size(), longest_);
    return fail(ErrorCode::kInvalidArgument, "the prompt has {} tokens, and the context holds {}; shorten the prompt",
                request.prompt.size(), context);
  }
  if (request.logprobs < -1 || request.logprobs > 20)
    return fail(ErrorCode::kInvalidArgument, "logprobs of {} tokens were asked for; 0 to 20 are given",
                request.logprobs);
  if (request.options.max_tokens < 0 || request.options.min_tokens < 0)
    return fail(ErrorCode::kInvalidArgument, "the numbers of tokens, at most {} and at least {}, are not negative",
                request.options.max_tokens, request.options.min_tokens);
  return {};
}

void Scheduler::add(RequestId id, Request request, EventSink sink, Job::Clock::time_point submitted) {
  auto job = std::make_unique<Job>();
  job->id = id;
  job->tokens = std::exchange(request.prompt, {});
  job->prompt_size = job->tokens.size();
  job->request = std::move(request);
  job->sink = std::move(sink);
  job->submitted = submitted;
  job->outcome.prompt_tokens = std::ssize(job->tokens);
  ++totals_.requests_accepted;
  waiting_.push_back(std::move(job));
}

void Scheduler::cancel(RequestId id) {
  const auto mark = [&](auto& jobs) {
    for (const JobPtr& job : jobs)
      if (job->id == id) job->cancelled = true;
  };
  mark(waiting_);
  mark(running_);
  remove_finished();
}

void Scheduler::cancel_all() {
  for (const JobPtr& job : waiting_) job->cancelled = true;
  for (const JobPtr& job : running_) job->cancelled = true;
  remove_finished();
}

void Scheduler::fail_all(const Error& error) {
  for (const JobPtr& job : waiting_) job->error = error;
  for (const JobPtr& job : running_) job->error = error;
  remove_finished();
}

std::size_t Scheduler::blocks_promised() const {
  std::size_t blocks = 0;
  for (const JobPtr& job : running_) {
    const std::size_t whole = blocks_for(std::ssize(job->tokens) + 1);
    blocks += whole - std::min(whole, blocks_for(job->sequence->length()));
  }
  return blocks;
}

bool Scheduler::has_room_for(const Job& job) const {
  if (running_.empty()) return true;  // check() saw to that
  const std::size_t missing = blocks_for(std::ssize(job.tokens) + 1) - blocks_for(job.sequence->length());
  return main_pool().available() >= blocks_promised() + missing;
}

bool Scheduler::may_adopt(const Job& job) const {
  return prefixes_ != nullptr && !job.embeds() && job.sequence->length() % kBlock == 0;
}

std::int64_t Scheduler::adopt_known_blocks(Job& job) const {
  if (!may_adopt(job)) return 0;
  const std::int64_t adopted = prefixes_->adopt(*job.sequence, job.tokens);
  if (adopted > 0) job.indexed_blocks = job.sequence->full_blocks();
  return adopted;
}

std::int64_t Scheduler::adopt_known_beginning(Job& job) const {
  return may_adopt(job) ? prefixes_->adopt_beginning(*job.sequence, job.tokens) : 0;
}

void Scheduler::count_cached(Job& job, std::int64_t tokens) {
  if (job.preempted) return;  // they may be its own
  job.outcome.cached_tokens += tokens;
  totals_.cached_tokens += tokens;
}

void Scheduler::start(Job& job) {
  job.started = true;
  job.began = Job::Clock::now();
  job.outcome.queue_seconds = seconds_between(job.submitted, job.began);
  totals_.prompt_tokens += job.outcome.prompt_tokens;
  if (job.embeds()) return;
  Continuation::Options options;
  options.generate = std::move(job.request.options);
  options.logprobs = job.request.logprobs;
  options.constraint = std::move(job.request.constraint);
  job.continuation.emplace(tokenizer_, std::move(options), job.tokens);
}

void Scheduler::admit() {
  while (!waiting_.empty() && std::ssize(running_) < options_.max_running) {
    Job& job = *waiting_.front();
    job.sequence = executor_->new_sequence();
    const std::int64_t adopted = adopt_known_blocks(job);
    if (!has_room_for(job)) {
      job.sequence.reset();
      return;
    }
    count_cached(job, adopted);
    if (!job.started) start(job);
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

void Scheduler::preempt_last() {
  Job& job = *running_.back();
  job.sequence.reset();
  job.indexed_blocks = 0;
  job.preempted = true;
  job.embedding_sum.clear();
  ++totals_.preemptions;
  waiting_.push_front(std::move(running_.back()));
  running_.pop_back();
}

/// How many of the next `tokens` there are blocks for; they are reserved.
std::int64_t Scheduler::reservable(Job& job, std::int64_t tokens) const {
  while (tokens > 0 && !job.sequence->reserve(tokens).ok()) {
    const std::int64_t end = job.sequence->length() + tokens;
    tokens -= std::min(tokens, end % kBlock != 0 ? end % kBlock : kBlock);
  }
  return tokens;
}

void Scheduler::plan_written(std::vector<Part>& parts) {
  for (std::size_t i = 0; i < running_.size(); ++i) {
    Job* job = running_[i].get();
    if (job->missing() != 1) continue;
    while (reservable(*job, 1) == 0) {
      const bool itself = i + 1 == running_.size();
      preempt_last();
      if (itself) return;
    }
    parts.push_back({job, 1});
  }
}

/// Whether an earlier part computes the block that comes next for `job`: after this step it can be adopted.
bool Scheduler::computed_beside(const Job& job, std::span<const Part> parts) const {
  const std::int64_t begin = job.sequence->length();
  const std::int64_t end = begin + kBlock;
  if (!may_adopt(job) || end >= std::ssize(job.tokens)) return false;
  return std::any_of(parts.begin(), parts.end(), [&](const Part& part) {
    const Job& other = *part.job;
    return !other.embeds() && other.sequence->length() <= begin && other.sequence->length() + part.tokens >= end &&
           std::equal(job.tokens.begin(), job.tokens.begin() + end, other.tokens.begin());
  });
}

/// Tokens of prompts that this step may read. Only the time that things take depends on it.
std::int64_t Scheduler::prompt_budget(bool beside_others) const {
  const std::int64_t most = beside_others ? options_.slice_tokens : options_.step_tokens;
  if (options_.slice_seconds <= 0) return most;
  if (seconds_per_prompt_token_ <= 0) return std::min(most, options_.slice_tokens);
  const double fit = options_.slice_seconds * (beside_others ? 1 : 4) / seconds_per_prompt_token_;
  return std::min(most, std::max(kSmallestSlice, static_cast<std::int64_t>(std::min(fit, 1e9))));
}

void Scheduler::note_speed(std::span<const Part> parts, double seconds) {
  std::int64_t tokens = 0;
  for (const Part& part : parts) tokens += part.tokens > 1 ? part.tokens : 0;
  if (tokens < kSmallestSlice) return;
  const double now = seconds / static_cast<double>(tokens);
  seconds_per_prompt_token_ = seconds_per_prompt_token_ > 0 ? 0.7 * seconds_per_prompt_token_ + 0.3 * now : now;
}

void Scheduler::plan_prompts(std::vector<Part>& parts) {
  // As many as the executor takes at once beside the others.
  const std::int64_t most = executor_->max_batch_tokens() - std::ssize(parts) % executor_->max_batch_tokens();
  std::int64_t budget = std::min(most, prompt_budget(!parts.empty()));
  for (const JobPtr& owned : running_) {
    Job& job = *owned;
    if (budget <= 0) return;
    if (job.missing() <= 1) continue;
    count_cached(job, adopt_known_blocks(job));
    if (job.missing() <= 1 || computed_beside(job, parts)) continue;
    count_cached(job, adopt_known_beginning(job));
    const std::int64_t tokens = reservable(job, std::min(budget, job.missing()));
    if (tokens == 0) continue;
    parts.push_back({&job, tokens});
    budget -= tokens;
  }
}

std::vector<Scheduler::Part> Scheduler::plan() {
  std::vector<Part> parts;
  while (!running_.empty()) {
    plan_written(parts);
    plan_prompts(parts);
    if (!parts.empty() || running_.empty()) break;
    if (running_.size() == 1) {  // not for want of blocks, then: of memory
      running_.front()->error = Error{ErrorCode::kOutOfMemory, "no memory for keys and values"};
      break;
    }
    preempt_last();
  }
  return parts;
}

void Scheduler::take_output(Job& job, const OutputRows& rows) const {
  const ModelConfig& config = executor_->model().config();
  if (job.embeds()) {
    const auto width = static_cast<std::size_t>(config.hidden_size);
    job.embedding_sum.resize(width);
    for (std::size_t r = 0; r < static_cast<std::size_t>(rows.rows); ++r)
      for (std::size_t i = 0; i < width; ++i) job.embedding_sum[i] += rows.values[r * width + i];
    return;
  }
  const bool is_last = std::ssize(job.tokens) >= longest_;
  const Status chosen = job.continuation->next({rows.values, static_cast<std::size_t>(config.vocab_size)}, is_last);
  if (!chosen.ok()) job.error = chosen.error();
}

/// A job's own state only, so several may be at work at once.
void Scheduler::take_outputs(std::span<const Part> parts, std::span<const OutputRows> outputs) {
  // An embedding's rows may be in several pieces, which are added in order.
  std::vector<std::size_t> firsts;
  for (std::size_t i = 0; i < outputs.size(); ++i)
    if (i == 0 || outputs[i].item != outputs[i - 1].item) firsts.push_back(i);
  const auto start = Job::Clock::now();
  executor_->pool().run(firsts.size(), 1, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t f = begin; f < end; ++f)
      for (std::size_t i = firsts[f]; i < outputs.size() && outputs[i].item == outputs[firsts[f]].item; ++i)
        take_output(*parts[outputs[i].item].job, outputs[i]);
  });
  totals_.sampling_seconds += seconds_between(start, Job::Clock::now());
}

Status Scheduler::run(std::span<const Part> parts) {
  std::vector<BatchItem> batch;
  for (const Part& part : parts) {
    Job& job = *part.job;
    BatchItem item;
    item.sequence = job.sequence.get();
    item.tokens = std::span(job.tokens)
                      .subspan(static_cast<std::size_t>(job.sequence->length()), static_cast<std::size_t>(part.tokens));
    item.logits = job.embeds()                   ? BatchItem::Logits::kHiddenStates
                  : part.tokens == job.missing() ? BatchItem::Logits::kLast
                                                 : BatchItem::Logits::kNone;
    batch.push_back(item);
  }
  const auto start = Job::Clock::now();
  const double sampling = totals_.sampling_seconds;
  Status status =
      executor_->forward(batch, OutputSink([&](std::span<const OutputRows> outputs) { take_outputs(parts, outputs); }));
  const double seconds = seconds_between(start, Job::Clock::now()) - (totals_.sampling_seconds - sampling);
  totals_.model_seconds += seconds;
  note_speed(parts, seconds);
  return status;
}

void Scheduler::emit(Job& job, Event event) {
  if (!job.sink) return;
  try {
    job.sink(std::move(event));
  } catch (const std::exception& e) {
    log_message(LogLevel::kWarning, std::string("a request is cancelled, because its sink failed: ") + e.what());
    job.cancelled = true;
    job.sink = nullptr;
  }
}

/// The model has seen what was planned of the job: what was chosen is said.
void Scheduler::after_step(Job& job) {
  if (prefixes_ != nullptr && !job.embeds() && job.sequence->full_blocks() > job.indexed_blocks) {
    prefixes_->insert(*job.sequence, job.tokens);
    job.indexed_blocks = job.sequence->full_blocks();
  }
  if (job.error || job.missing() > 0 || job.embeds()) return;
  Continuation& continuation = *job.continuation;
  if (continuation.generated_tokens() > job.outcome.generated_tokens) {
    if (job.outcome.generated_tokens == 0) job.first_token = Job::Clock::now();
    job.outcome.generated_tokens = continuation.generated_tokens();
    ++totals_.generated_tokens;
    job.tokens.push_back(continuation.last_token());
  }
  if (continuation.ended()) return;  // finish() says the rest
  Event event;
  event.text = continuation.take_text();
  event.tokens = continuation.take_tokens();
  emit(job, std::move(event));
}

void Scheduler::finish(Job& job) {
  Event event;
  Outcome& outcome = job.outcome;
  const auto now = Job::Clock::now();
  if (!job.started) outcome.queue_seconds = seconds_between(job.submitted, now);
  if (job.started) {
    const bool wrote = outcome.generated_tokens > 0;
    outcome.prompt_seconds = seconds_between(job.began, wrote ? job.first_token : now);
    outcome.decode_seconds = wrote ? seconds_between(job.first_token, now) : 0;
  }
  if (job.cancelled) {
    outcome.reason = StopReason::kCancelled;
    ++totals_.requests_cancelled;
  } else if (job.error) {
    outcome.error = job.error;
    ++totals_.requests_failed;
  } else {
    ++totals_.requests_finished;
  }
  if (job.continuation) {
    event.text = job.continuation->take_text();
    event.tokens = job.continuation->take_tokens();
    if (!job.cancelled && !job.error) {
      outcome.reason = job.continuation->reason();
      outcome.stop_string = job.continuation->stop_string();
    }
  } else if (job.embeds() && !job.cancelled && !job.error) {
    double square = 0;
    for (double& sum : job.embedding_sum) {
      sum /= static_cast<double>(job.tokens.size());
      square += sum * sum;
    }
    const double scale = job.request.normalize && square > 0 ? 1 / std::sqrt(square) : 1;
    for (const double mean : job.embedding_sum) event.embedding.push_back(static_cast<float>(mean * scale));
  }
  event.outcome = outcome;
  emit(job, std::move(event));
}

void Scheduler::remove_finished() {
  const auto ended = [](const Job& job) {
    if (job.cancelled || job.error) return true;
    if (job.sequence == nullptr) return false;
    return job.embeds() ? job.missing() == 0 : job.continuation->ended();
  };
  // Blocks first: whoever hears of the end finds them given back.
  std::vector<JobPtr> done;
  const auto take = [&](auto& jobs) {
    for (JobPtr& job : jobs)
      if (ended(*job)) done.push_back(std::move(job));
    std::erase_if(jobs, [](const JobPtr& job) { return job == nullptr; });
  };
  take(running_);
  take(waiting_);
  for (const JobPtr& job : done) job->sequence.reset();
  for (const JobPtr& job : done) finish(*job);
}

bool Scheduler::prepare_block() {
  KvBlockPool& pool = main_pool();
  const auto wanted = static_cast<std::size_t>(options_.max_running * kPreparedTokens / kBlock);
  std::size_t blocks = std::min(wanted, kMostPrepared / pool.block_bytes());
  if (pool.max_blocks() > 0) blocks = std::min(blocks, pool.max_blocks() / 4);
  return pool.prepare(blocks);
}

void Scheduler::step() {
  const auto start = Job::Clock::now();
  admit();
  const std::vector<Part> parts = plan();
  if (!parts.empty()) {
    const Status ran = run(parts);
    ++totals_.steps;
    for (const Part& part : parts) {
      if (!ran.ok()) part.job->error = ran.error();
      if (!ran.ok()) continue;
      totals_.prompt_tokens_computed += prompt_tokens_of(*part.job, part.tokens);
      after_step(*part.job);
    }
  }
  remove_finished();
  totals_.step_seconds += seconds_between(start, Job::Clock::now());
}

EngineStats Scheduler::stats() const {
  EngineStats stats = totals_;
  stats.running = std::ssize(running_);
  stats.waiting = std::ssize(waiting_);
  for (const JobPtr& job : waiting_) stats.waiting_tokens += std::ssize(job->tokens);
  const KvBlockPool& pool = main_pool();
  stats.kv_blocks = static_cast<std::int64_t>(pool.max_blocks());
  stats.kv_blocks_cached = static_cast<std::int64_t>(pool.blocks_only_kept());
  stats.kv_blocks_used = static_cast<std::int64_t>(pool.blocks_in_use()) - stats.kv_blocks_cached;
  return stats;
}

}  // namespace nibble
