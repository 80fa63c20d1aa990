// Normalizers: the steps that rewrite text before it is split. Unicode forms come from utf8proc's tables.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/regex.h"
#include "text/tokenizer_spec.h"

namespace nibble {

/// A compiled list of normalizer steps. Immutable.
class Normalizer {
 public:
  static Result<Normalizer> build(const std::vector<NormalizerStep>& steps, std::string_view what);

  bool empty() const { return steps_.empty(); }
  /// Applies all steps to `text` (valid UTF-8). Fails when a step would make the text more than 64 times longer.
  Result<std::string> apply(std::string text) const;

 private:
  struct Step {
    NormalizerStep spec;
    std::optional<Regex> regex;
  };
  std::vector<Step> steps_;
};

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

/// The normal form of valid UTF-8, in linear time but for sorting runs of marks.
std::string to_unicode_form(std::string_view text, UnicodeForm form);

}  // namespace nibble
