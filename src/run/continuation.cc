// The order of what ends a text: the model's own token, a stop string, room, the number of tokens.
#include "run/continuation.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "run/logprobs.h"

namespace nibble {
namespace {

TokenDecoder::Options decoder_options(const GenerateOptions& options) {
  TokenDecoder::Options decoder;
  decoder.skip_special = options.skip_special;
  return decoder;
}

}  // namespace

Continuation::Continuation(std::shared_ptr<const Tokenizer> tokenizer, Options options,
                           std::span<const std::int32_t> prompt)
    : tokenizer_(std::move(tokenizer)),
      options_(std::move(options)),
      sampler_(options_.generate.sampling),
      decoder_(tokenizer_, decoder_options(options_.generate)),
      filter_(options_.generate.stop) {
  sampler_.see_prompt(prompt);
  ends_ = tokenizer_->end_of_generation();
  ends_.insert(ends_.end(), options_.generate.stop_tokens.begin(), options_.generate.stop_tokens.end());
}

/// Where a constraint says when the text may end, the token that ends it does.
bool Continuation::ends_text(std::int32_t id) const {
  return (!options_.generate.ignore_eos || options_.constraint != nullptr) && tokenizer_->is_end_of_generation(id);
}

Result<std::int32_t> Continuation::choose(std::span<const float> logits) {
  TokenLimits limits;
  if (options_.constraint != nullptr) {
    NIBBLE_TRY(limits.allowed, options_.constraint->allowed());
    if (limits.allowed.empty()) return fail(ErrorCode::kInvalidArgument, "the constraint allows no token");
  }
  if (generated_tokens_ < options_.generate.min_tokens) limits.avoided = ends_;
  const std::int32_t id = sampler_.sample(logits, limits);
  if (id < 0) return fail(ErrorCode::kInvalidArgument, "the constraint allows no token of the vocabulary");
  return id;
}

void Continuation::note(std::int32_t id, std::span<const float> logits) {
  GeneratedToken token;
  token.id = id;
  if (options_.logprobs >= 0) {
    add_logprobs(logits, options_.logprobs, token);
    token.logprob->bytes = tokenizer_->piece(id);
    for (TokenLogprob& other : token.top) other.bytes = tokenizer_->piece(other.id);
  }
  tokens_.push_back(std::move(token));
}

Status Continuation::next(std::span<const float> logits, bool is_last) {
  NIBBLE_CHECK(!ended_);
  NIBBLE_TRY(const std::int32_t id, choose(logits));
  if (ends_text(id)) {
    end(StopReason::kEnd);
    return {};
  }
  sampler_.accept(id);
  if (options_.constraint != nullptr) NIBBLE_TRY_STATUS(options_.constraint->accept(id));
  last_token_ = id;
  ++generated_tokens_;
  note(id, logits);
  text_ += filter_.feed(decoder_.feed(id));
  const auto& stops = options_.generate.stop_tokens;
  if (filter_.stopped()) {
    end(StopReason::kStopString);
  } else if (std::find(stops.begin(), stops.end(), id) != stops.end()) {
    end(StopReason::kEnd);
  } else if (is_last) {
    end(StopReason::kContextFull);
  } else if (generated_tokens_ == options_.generate.max_tokens) {
    end(StopReason::kMaxTokens);
  }
  return {};
}

/// What the decoder held may complete a stop string.
void Continuation::end(StopReason reason) {
  ended_ = true;
  reason_ = reason;
  if (filter_.stopped()) return;
  text_ += filter_.feed(decoder_.finish());
  if (filter_.stopped()) {
    reason_ = StopReason::kStopString;
  } else {
    text_ += filter_.finish();
  }
}

}  // namespace nibble
