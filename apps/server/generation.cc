#include "generation.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "answer_json.h"
#include "api_error.h"
#include "engine_sink.h"

namespace nibble::server {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

HttpReply event_stream() {
  HttpReply head;
  head.content_type = "text/event-stream; charset=utf-8";
  head.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
  return head;
}

}  // namespace

std::string too_many_logprobs(std::int64_t most) {
  return fmt::format(
      "logprobs: an answer that is not streamed holds at most {} of them (n x max_tokens x (1 + top_logprobs)); stream "
      "it, or ask for fewer",
      most);
}

Generation::Generation(std::shared_ptr<Exchange> exchange, GenerationJob job, Metrics& metrics)
    : exchange_(std::move(exchange)), job_(std::move(job)), metrics_(metrics) {
  const auto n = static_cast<std::size_t>(job_.text.n);
  answers_.resize(job_.prompts.size() * n);
  for (std::size_t i = 0; i < answers_.size(); ++i) {
    answers_[i].index = static_cast<int>(i);
    answers_[i].prompt = job_.prompts[i / n].text;
  }
  first_token_seconds_.resize(answers_.size(), -1);
  open_ = answers_.size();
  exchange_->record.model = job_.model->id;
  for (const Prompt& prompt : job_.prompts) exchange_->record.prompt_tokens += std::ssize(prompt.tokens);
}

Result<RequestId> Generation::submit(std::size_t answer) {
  const auto n = static_cast<std::size_t>(job_.text.n);
  Request request;
  request.prompt = job_.prompts[answer / n].tokens;
  request.options = job_.options;
  request.options.sampling.seed += answer % n;  // answers to one prompt differ
  request.logprobs = job_.logprobs;
  if (job_.constraint) request.constraint = job_.constraint();
  return job_.model->engine->submit(std::exchange(job_.place, nullptr), std::move(request),
                                    sink_of(shared_from_this(), *exchange_, answer));
}

void Generation::submit_more() {
  while (ids_.size() < answers_.size()) {
    const Result<RequestId> id = submit(ids_.size());
    // The queue is full: there will be a place when one of these answers is done.
    const bool is_any_under_way = ids_.size() + open_ > answers_.size();
    if (!id.ok() && id.error().code == ErrorCode::kBusy && is_any_under_way) return;
    if (!id.ok()) return fail(id.error());
    ids_.push_back(*id);
  }
}

void Generation::start() {
  submit_more();
  if (is_over_) return;
  exchange_->on_gone([self = shared_from_this()] {
    self->is_over_ = true;
    self->exchange_->record.finish = "gone";
    self->cancel_all();
  });
  if (!job_.text.stream) return;
  has_begun_ = true;
  exchange_->begin_stream(event_stream());
  for (const Answer& answer : answers_) exchange_->write(job_.format->begin(answer));
}

void Generation::on_event(std::size_t index, Event& event) {
  Answer& answer = answers_[index];
  exchange_->record.generated_tokens += std::ssize(event.tokens);
  if (first_token_seconds_[index] < 0 && !event.tokens.empty())
    first_token_seconds_[index] = seconds_since(exchange_->start);
  if (!is_over_ && !(event.outcome && event.outcome->error)) {
    AnswerDelta delta;
    AnswerReader* reader = job_.readers.empty() ? nullptr : job_.readers[index].get();
    if (reader != nullptr) {
      delta.pieces = reader->feed(event.text);
      if (event.outcome)
        for (AnswerPiece& piece : reader->finish()) delta.pieces.push_back(std::move(piece));
    } else if (!event.text.empty()) {
      delta.pieces.emplace_back();
      delta.pieces.back().text = std::move(event.text);
    }
    if (job_.logprobs >= 0) delta.tokens = std::move(event.tokens);
    if (job_.text.stream) {
      exchange_->write(job_.format->delta(answer, delta));
    } else if (!keep(answer, delta)) {
      fail({ErrorCode::kInvalidArgument, too_many_logprobs(job_.max_whole_logprobs)});
    }
    add_to(answer, delta);
  }
  if (!event.outcome) return;
  answer.outcome = std::move(event.outcome);
  on_outcome(index);
}

bool Generation::keep(const Answer& answer, const AnswerDelta& delta) {
  for (const GeneratedToken& token : delta.tokens) logprobs_ += 1 + std::ssize(token.top);
  if (logprobs_ > job_.max_whole_logprobs) return false;
  job_.format->keep(answer, delta);
  return true;
}

void Generation::on_outcome(std::size_t index) {
  const Answer& answer = answers_[index];
  const Outcome& outcome = *answer.outcome;
  --open_;
  AccessRecord& record = exchange_->record;
  if (index % static_cast<std::size_t>(job_.text.n) == 0) record.cached_tokens += outcome.cached_tokens;
  record.queue_seconds = std::max(record.queue_seconds, outcome.queue_seconds);
  metrics_.models[job_.model->id].add(outcome, first_token_seconds_[index], seconds_since(exchange_->start));
  if (is_over_) return;
  if (outcome.error) return fail(*outcome.error);
  if (outcome.reason == StopReason::kCancelled) return fail({ErrorCode::kCancelled, ""});
  if (record.finish.empty()) record.finish = finish_reason(outcome);
  if (job_.text.stream) exchange_->write(job_.format->finish(answer));
  if (open_ == 0) return finish();
  submit_more();
}

void Generation::finish() {
  is_over_ = true;
  if (!job_.text.stream) return exchange_->reply(json_reply(job_.format->whole(answers_, usage())));
  if (job_.text.include_usage) exchange_->write(job_.format->usage(answers_, usage()));
  exchange_->write("data: [DONE]\n\n");
  exchange_->end_stream();
}

void Generation::fail(const Error& error) {
  is_over_ = true;
  cancel_all();
  const ApiError api_error = api_error_of(error);
  exchange_->record.finish = "error";
  if (!has_begun_) return exchange_->reply(reply_of(api_error));
  exchange_->write(event_text(error_json(api_error)));
  exchange_->write("data: [DONE]\n\n");
  exchange_->end_stream();
}

void Generation::cancel_all() {
  for (std::size_t i = 0; i < ids_.size(); ++i)
    if (!answers_[i].outcome) job_.model->engine->cancel(ids_[i]);
}

Usage Generation::usage() const {
  Usage usage;
  for (std::size_t i = 0; i < answers_.size(); ++i) {
    const Outcome& outcome = *answers_[i].outcome;
    usage.generated_tokens += outcome.generated_tokens;
    if (i % static_cast<std::size_t>(job_.text.n) != 0) continue;
    usage.prompt_tokens += outcome.prompt_tokens;
    usage.cached_tokens += outcome.cached_tokens;
  }
  return usage;
}

}  // namespace nibble::server
