// What follows a prompt: the choice of tokens from logits, their text, and when it ends. One per text under way;
// whoever runs the model feeds it logits.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nibble/engine.h"
#include "run/sampling.h"
#include "run/stop_filter.h"
#include "text/tokenizer.h"

namespace nibble {

class Continuation {
 public:
  struct Options {
    GenerateOptions generate;
    int logprobs = -1;                            ///< Request::logprobs
    std::unique_ptr<TokenConstraint> constraint;  ///< optional
  };
  Continuation(std::shared_ptr<const Tokenizer> tokenizer, Options options, std::span<const std::int32_t> prompt);

  /// Chooses the token that follows. `is_last`: there is no room for another after it. Fails when the constraint fails
  /// or allows nothing. logits [vocabulary].
  Status next(std::span<const float> logits, bool is_last);

  /// Nothing more is to be chosen.
  bool ended() const { return ended_; }
  StopReason reason() const { return reason_; }
  const std::string& stop_string() const { return filter_.stop_string(); }
  /// The token that was chosen last: while !ended(), what the model is fed next.
  std::int32_t last_token() const { return last_token_; }
  std::int64_t generated_tokens() const { return generated_tokens_; }

  /// Text in whole characters, and tokens, since the last call. With stop strings, what might be the beginning of one
  /// is held back until it is not or the text ends.
  std::string take_text() { return std::exchange(text_, {}); }
  std::vector<GeneratedToken> take_tokens() { return std::exchange(tokens_, {}); }

 private:
  Result<std::int32_t> choose(std::span<const float> logits);
  void note(std::int32_t id, std::span<const float> logits);
  void end(StopReason reason);
  bool ends_text(std::int32_t id) const;

  std::shared_ptr<const Tokenizer> tokenizer_;
  Options options_;
  Sampler sampler_;
  TokenDecoder decoder_;
  StopFilter filter_;
  std::vector<std::int32_t> ends_;  ///< tokens that end a text, those of the request too
  bool ended_ = false;
  StopReason reason_ = StopReason::kEnd;
  std::int32_t last_token_ = -1;
  std::int64_t generated_tokens_ = 0;
  std::string text_;
  std::vector<GeneratedToken> tokens_;
};

}  // namespace nibble
