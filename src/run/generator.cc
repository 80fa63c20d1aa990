// The generation loop.
#include "run/generator.h"

#include <algorithm>
#include <chrono>

#include "run/sampling.h"

namespace nibble {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

SamplingOptions sampler_options(const Sampling& s) {
  SamplingOptions options;
  options.temperature = s.temperature;
  options.top_k = s.top_k;
  options.top_p = s.top_p;
  options.min_p = s.min_p;
  options.repetition_penalty = s.repetition_penalty;
  options.repeat_last_n = s.repeat_last_n;
  options.seed = s.seed;
  return options;
}

}  // namespace

StopFilter::State StopFilter::emit(std::string_view text) {
  if (text.empty() || !sink_) return State::kGoOn;
  return sink_(text) ? State::kGoOn : State::kCancelled;
}

StopFilter::State StopFilter::feed(std::string_view text) {
  if (stops_.empty()) return emit(text);
  held_ += text;
  std::size_t first = std::string::npos;
  for (const std::string& stop : stops_)
    if (!stop.empty()) first = std::min(first, held_.find(stop));
  if (first != std::string::npos) {
    const State state = emit(std::string_view(held_).substr(0, first));
    held_.clear();
    return state == State::kCancelled ? state : State::kStopped;
  }
  std::size_t keep = 0;  // the longest end of the text that begins a stop string
  for (const std::string& stop : stops_) {
    for (std::size_t n = std::min(stop.empty() ? 0 : stop.size() - 1, held_.size()); n > keep; --n) {
      if (std::string_view(held_).ends_with(std::string_view(stop).substr(0, n))) keep = n;
    }
  }
  const State state = emit(std::string_view(held_).substr(0, held_.size() - keep));
  held_.erase(0, held_.size() - keep);
  return state;
}

StopFilter::State StopFilter::finish() {
  const State state = emit(held_);
  held_.clear();
  return state;
}

Status Generator::feed(std::span<const std::int32_t> tokens) {
  const BatchItem item{sequence_.get(), tokens, BatchItem::Logits::kLast};
  const auto vocab = static_cast<std::size_t>(executor_.model().config().vocab_size);
  NIBBLE_TRY_STATUS(
      executor_.forward({&item, 1}, [&](std::size_t, std::int64_t, std::int64_t rows, const float* logits) {
        const float* last = logits + static_cast<std::size_t>(rows - 1) * vocab;
        logits_.assign(last, last + vocab);
      }));
  cached_.insert(cached_.end(), tokens.begin(), tokens.end());
  return {};
}

Result<bool> Generator::feed_prompt(std::span<const std::int32_t> tokens, const TextSink& sink) {
  constexpr std::size_t kSlice = 512;  // what the executor computes at once
  while (tokens.size() > kSlice) {
    NIBBLE_TRY_STATUS(feed(tokens.first(kSlice)));
    if (sink && !sink("")) return false;
    tokens = tokens.subspan(kSlice);
  }
  NIBBLE_TRY_STATUS(feed(tokens));
  return true;
}

Result<GenerateReport> Generator::generate(const std::vector<std::int32_t>& prompt, const GenerateOptions& options,
                                           const TextSink& sink) {
  if (prompt.empty())
    return fail(ErrorCode::kInvalidArgument, "the prompt is empty and the model has no token to begin with");
  GenerateReport report;
  if (sequence_ == nullptr) sequence_ = executor_.new_sequence();
  // Keep the common prefix, but compute at least the last token again for its logits.
  std::size_t common = 0;
  while (common < cached_.size() && common + 1 < prompt.size() && cached_[common] == prompt[common]) ++common;
  NIBBLE_TRY_STATUS(sequence_->truncate(static_cast<std::int64_t>(common)));
  cached_.resize(common);
  auto start = std::chrono::steady_clock::now();
  const Result<bool> fed = feed_prompt(std::span(prompt).subspan(common), sink);
  cached_.resize(static_cast<std::size_t>(sequence_->length()));
  if (!fed.ok()) return fed.error();
  report.prompt_tokens = static_cast<std::int64_t>(cached_.size() - common);
  report.prompt_seconds = seconds_since(start);
  if (!*fed) {
    report.reason = StopReason::kCancelled;
    return report;
  }

  Sampler sampler(sampler_options(options.sampling));
  for (const std::int32_t id : prompt) sampler.accept(id);
  TokenDecoder decoder(tokenizer_);
  StopFilter filter(options.stop, sink);
  start = std::chrono::steady_clock::now();
  report.reason = StopReason::kMaxTokens;
  StopFilter::State state = StopFilter::State::kGoOn;
  while (options.max_tokens == 0 || report.generated_tokens < options.max_tokens) {
    const std::int32_t id = sampler.sample(logits_);
    if (!options.ignore_eos && tokenizer_->is_end_of_generation(id)) {
      report.reason = StopReason::kEnd;
      break;
    }
    sampler.accept(id);
    ++report.generated_tokens;
    state = filter.feed(decoder.feed(id));
    if (state != StopFilter::State::kGoOn) break;
    if (sequence_->length() >= executor_.model().context_length()) {
      report.reason = StopReason::kContextFull;
      break;
    }
    if (report.generated_tokens == options.max_tokens) break;
    NIBBLE_TRY_STATUS(feed({&id, 1}));
  }
  if (state == StopFilter::State::kGoOn) {
    state = filter.feed(decoder.finish());
    if (state == StopFilter::State::kGoOn) state = filter.finish();
  }
  if (state == StopFilter::State::kStopped) report.reason = StopReason::kStopString;
  if (state == StopFilter::State::kCancelled) report.reason = StopReason::kCancelled;
  report.decode_seconds = seconds_since(start);
  return report;
}

}  // namespace nibble
