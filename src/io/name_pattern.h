// Regular expressions from configuration files, matched against module names in bounded time. They are untrusted: PCRE2
// runs with limits on steps, depth and memory, so a pattern that backtracks without end is an error, not a hang.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace nibble {

/// One compiled pattern with the meaning of Python's re module (for the syntax that the two share).
class NamePattern {
 public:
  /// `field` names the pattern's place in error messages. Errors: kCorrupt for a pattern that does not compile or is too
  /// long.
  static Result<NamePattern> compile(std::string_view pattern, std::string_view field);

  /// re.match: the pattern must match at the start of `name`, not to its end. kCorrupt when the limits are exceeded.
  Result<bool> matches_start(std::string_view name) const;
  /// re.search: anywhere.
  Result<bool> found_in(std::string_view name) const;

 private:
  struct Compiled;
  Result<bool> run(std::string_view name, std::uint32_t options) const;
  std::shared_ptr<const Compiled> compiled_;
};

/// Patterns compiled once and kept, for a configuration whose patterns meet every module name.
class PatternCache {
 public:
  explicit PatternCache(std::string field) : field_(std::move(field)) {}
  Result<const NamePattern*> get(const std::string& pattern);

 private:
  std::string field_;
  std::map<std::string, NamePattern> patterns_;
};

}  // namespace nibble
