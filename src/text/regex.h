// Regular expressions of tokenizer.json (Oniguruma syntax) on PCRE2, with limits that a file's author cannot exceed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nibble {

/// A half-open range of bytes.
struct TextSpan {
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// A compiled pattern; immutable, shared between threads.
class Regex {
 public:
  /// Compiles a pattern written for Oniguruma (Ruby syntax), as Hugging Face tokenizers use it: \s is Unicode
  /// White_Space, \d is Nd, \w is alphabetic, mark, Nd or Pc, \p{Script} means the script proper, ^ and $ are at lines.
  /// Refused, by name: nested character classes and &&, subexpression calls, patterns over 64 KiB. `what` names the
  /// place.
  static Result<Regex> compile(std::string_view pattern, std::string_view what);

  /// Appends all matches in `text` (valid UTF-8), left to right; a match may be empty but not touch the one before it.
  /// Fails with kUnsupported when the pattern needs more steps, memory or time than allowed.
  Status find_all(std::string_view text, std::vector<TextSpan>& matches) const;

  const std::string& pattern() const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
};

/// The PCRE2 form of an Oniguruma pattern (see Regex::compile).
Result<std::string> translate_oniguruma(std::string_view pattern, std::string_view what);

/// The pattern that matches `literal` and nothing else.
std::string escape_for_regex(std::string_view literal);

}  // namespace nibble
