// PCRE2 behind the two Python calls that checkpoint configurations rely on.
#include "io/name_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace nibble {
namespace {

constexpr std::size_t kMaxPatternBytes = 4096;
// Module names are short: honest patterns need some hundred steps. A match that needs more is tried again with more,
// but only so often, so that a configuration of many slow patterns ends in an error after seconds.
constexpr std::uint32_t kSteps = 2'000;
constexpr std::uint32_t kCostlySteps = 100'000;
constexpr std::int64_t kMatches = 5'000'000;
constexpr std::int64_t kCostlyMatches = 20'000;
constexpr std::uint32_t kHeapLimitKib = 1'024;

struct Free {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

}  // namespace

struct NamePatterns::Compiled {
  explicit Compiled(pcre2_code* compiled) : code(compiled), data(pcre2_match_data_create(1, nullptr)) {}
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;
  ~Compiled() { pcre2_code_free(code); }
  pcre2_code* code;
  std::unique_ptr<pcre2_match_data, Free> data;
};

NamePatterns::NamePatterns(std::string field)
    : field_(std::move(field)), matches_left_(kMatches), costly_matches_left_(kCostlyMatches) {}
NamePatterns::~NamePatterns() = default;
NamePatterns::NamePatterns(NamePatterns&&) noexcept = default;
NamePatterns& NamePatterns::operator=(NamePatterns&&) noexcept = default;

Result<const NamePatterns::Compiled*> NamePatterns::compile(const std::string& pattern) {
  auto it = compiled_.find(pattern);
  if (it != compiled_.end()) return it->second.get();
  if (pattern.size() > kMaxPatternBytes)
    return fail(ErrorCode::kCorrupt, "{}: a pattern of {} bytes; the limit is {}", field_, pattern.size(),
                kMaxPatternBytes);
  int error = 0;
  PCRE2_SIZE offset = 0;
  // PCRE2_DOLLAR_ENDONLY is not set: like Python's, `$` also matches before a final newline.
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                   PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr);
  if (code == nullptr) {
    PCRE2_UCHAR text[160] = {};
    pcre2_get_error_message(error, text, sizeof(text));
    return fail(ErrorCode::kCorrupt, "{}: the pattern \"{}\" is wrong at {}: {}", field_, pattern, offset,
                reinterpret_cast<const char*>(text));
  }
  it = compiled_.emplace(pattern, std::make_unique<Compiled>(code)).first;
  return it->second.get();
}

Result<bool> NamePatterns::run(const std::string& pattern, std::string_view name, std::uint32_t options) {
  NIBBLE_TRY(const Compiled* compiled, compile(pattern));
  const std::unique_ptr<pcre2_match_context, Free> context(pcre2_match_context_create(nullptr));
  if (compiled->data == nullptr || context == nullptr)
    return fail(ErrorCode::kOutOfMemory, "no memory to match a pattern");
  pcre2_set_heap_limit(context.get(), kHeapLimitKib);
  if (--matches_left_ < 0) return fail(ErrorCode::kCorrupt, "{}: too many patterns for so many modules", field_);
  for (const std::uint32_t steps : {kSteps, kCostlySteps}) {
    if (steps == kCostlySteps && --costly_matches_left_ < 0) break;
    pcre2_set_match_limit(context.get(), steps);
    const int found = pcre2_match(compiled->code, reinterpret_cast<PCRE2_SPTR>(name.data()), name.size(), 0, options,
                                  compiled->data.get(), context.get());
    if (found >= 0) return true;
    if (found == PCRE2_ERROR_NOMATCH) return false;
    if (found <= PCRE2_ERROR_UTF8_ERR1 && found >= PCRE2_ERROR_UTF8_ERR21) return false;  // the name is not UTF-8
    if (found != PCRE2_ERROR_MATCHLIMIT) break;
  }
  return fail(ErrorCode::kCorrupt, "{}: the pattern \"{}\" takes too long to match \"{}\"; write a simpler one", field_,
              pattern, name);
}

Result<bool> NamePatterns::matches_start(const std::string& pattern, std::string_view name) {
  return run(pattern, name, PCRE2_ANCHORED);
}
Result<bool> NamePatterns::found_in(const std::string& pattern, std::string_view name) { return run(pattern, name, 0); }

}  // namespace nibble
