// Decoder chains of tokenizer.json: token texts in, text out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/regex.h"
#include "text/tokenizer_spec.h"

namespace nibble {

/// A compiled decoder chain. Immutable.
class DecoderChain {
 public:
  static Result<DecoderChain> build(const std::vector<DecoderStep>& steps, std::string_view what);

  /// Runs the chain on a whole list of token texts and joins what is left.
  std::string decode(std::vector<std::string> tokens) const;

  /// The bytes that one token contributes when it is not at the text's beginning; possibly part of a character.
  /// Whole-text steps (Strip, Fuse) do nothing here.
  std::string token_bytes(std::string_view token) const;

  /// What to do at the beginning of a text: strip up to this many spaces from it (Strip's start, Metaspace's first
  /// mark).
  std::size_t leading_spaces_stripped() const { return leading_spaces_; }

 private:
  struct Step {
    DecoderStep spec;
    std::vector<Regex> regex;  // none or one
  };
  static void run(const Step& step, std::vector<std::string>& tokens);
  std::vector<Step> steps_;
  std::size_t leading_spaces_ = 0;
};

/// The value of a byte token <0xXX>, or -1.
int byte_of_token(std::string_view token);

}  // namespace nibble
