// Splitters: find the matches of a pre-tokenizer's pattern. The patterns that most models use are written by hand and
// take one pass; every other pattern runs on PCRE2. A pattern's text alone decides which: the results are the same.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/regex.h"

namespace nibble {

/// Finds the matches of one pattern. Immutable.
class Splitter {
 public:
  /// The fast splitter for `pattern` if there is one, else PCRE2. `what` names the place in error messages.
  static Result<Splitter> compile(std::string_view pattern, std::string_view what);
  /// Always PCRE2; for tests and for comparing.
  static Result<Splitter> compile_general(std::string_view pattern, std::string_view what);

  /// Appends the matches in `text` (valid UTF-8), left to right, offsets relative to its begin. The text's end is an
  /// end for lookaheads too.
  Status find_all(std::string_view text, std::vector<TextSpan>& matches) const;

  bool is_handwritten() const { return scan_ != nullptr; }

 private:
  using Scan = void (*)(std::string_view text, std::vector<TextSpan>& matches);
  Scan scan_ = nullptr;
  Regex regex_;
};

/// The patterns with a hand-written splitter; tests compare each with PCRE2.
std::vector<std::string_view> handwritten_patterns();

}  // namespace nibble
