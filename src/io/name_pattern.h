// Regular expressions from configuration files, matched against module names in bounded time. They are untrusted: PCRE2
// runs with limits on steps, depth and memory, so a pattern that backtracks without end is an error, not a hang.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace nibble {

/// The patterns of one configuration field, with the meaning of Python's re module (for the syntax that the two share).
/// Patterns are compiled once and kept, since every one meets every module name; all matches together have a budget.
/// Errors (kCorrupt, naming field and pattern): a pattern that does not compile or is too long, a match that takes too
/// many steps, a budget that is used up.
class NamePatterns {
 public:
  explicit NamePatterns(std::string field = "pattern");
  ~NamePatterns();
  NamePatterns(NamePatterns&&) noexcept;
  NamePatterns& operator=(NamePatterns&&) noexcept;

  /// re.match: the pattern must match at the start of `name`, not to its end.
  Result<bool> matches_start(const std::string& pattern, std::string_view name);
  /// re.search: anywhere.
  Result<bool> found_in(const std::string& pattern, std::string_view name);

 private:
  struct Compiled;
  Result<const Compiled*> compile(const std::string& pattern);
  Result<bool> run(const std::string& pattern, std::string_view name, std::uint32_t options);

  std::string field_;
  std::map<std::string, std::unique_ptr<Compiled>> compiled_;
  std::int64_t matches_left_;
  std::int64_t costly_matches_left_;
};

}  // namespace nibble
