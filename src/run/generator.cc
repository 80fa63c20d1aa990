// The generation loop.
#include "run/generator.h"

#include <algorithm>
#include <chrono>

#include "run/continuation.h"

namespace nibble {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

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
  if (const std::int64_t context = executor_.model().context_length();
      static_cast<std::int64_t>(prompt.size()) > context)
    return fail(ErrorCode::kInvalidArgument,
                "a prompt of {} tokens does not fit into the context of {}; shorten it or ask for a longer context",
                prompt.size(), context);
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

  Continuation::Options continue_with;
  continue_with.generate = options;
  Continuation continuation(tokenizer_, std::move(continue_with), prompt);
  start = std::chrono::steady_clock::now();
  for (;;) {
    NIBBLE_TRY_STATUS(continuation.next(logits_, sequence_->length() >= executor_.model().context_length()));
    const std::string text = continuation.take_text();
    report.reason = continuation.reason();
    if (!text.empty() && sink && !sink(text)) {
      report.reason = StopReason::kCancelled;
      break;
    }
    if (continuation.ended()) break;
    const std::int32_t token = continuation.last_token();
    NIBBLE_TRY_STATUS(feed({&token, 1}));
  }
  report.generated_tokens = continuation.generated_tokens();
  report.decode_seconds = seconds_since(start);
  return report;
}

}  // namespace nibble
