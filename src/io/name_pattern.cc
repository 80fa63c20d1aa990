// PCRE2 behind the two Python calls that checkpoint configurations rely on.
#include "io/name_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace nibble {
namespace {
// Module names are short and honest patterns need tens of steps; the limits allow ten thousands.
constexpr std::size_t kMaxPatternBytes = 4096;
constexpr std::uint32_t kMatchLimit = 100'000;
constexpr std::uint32_t kDepthLimit = 1'000;
constexpr std::uint32_t kHeapLimitKib = 1'024;
}  // namespace

struct NamePattern::Compiled {
  std::string pattern;
  std::string field;
  pcre2_code* code = nullptr;
  Compiled() = default;
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;
  ~Compiled() { pcre2_code_free(code); }
};

Result<NamePattern> NamePattern::compile(std::string_view pattern, std::string_view field) {
  if (pattern.size() > kMaxPatternBytes)
    return fail(ErrorCode::kCorrupt, "{}: a pattern of {} bytes; the limit is {}", field, pattern.size(),
                kMaxPatternBytes);
  auto compiled = std::make_shared<Compiled>();
  compiled->pattern = pattern;
  compiled->field = field;
  int error = 0;
  PCRE2_SIZE offset = 0;
  // PCRE2_DOLLAR_ENDONLY is not set: like Python's, `$` also matches before a final newline.
  compiled->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(compiled->pattern.data()), compiled->pattern.size(),
                                 PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr);
  if (compiled->code == nullptr) {
    PCRE2_UCHAR text[160] = {};
    pcre2_get_error_message(error, text, sizeof(text));
    return fail(ErrorCode::kCorrupt, "{}: the pattern \"{}\" is wrong at {}: {}", field, pattern, offset,
                reinterpret_cast<const char*>(text));
  }
  NamePattern out;
  out.compiled_ = std::move(compiled);
  return out;
}

Result<bool> NamePattern::run(std::string_view name, std::uint32_t options) const {
  struct Free {
    void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
    void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  };
  const std::unique_ptr<pcre2_match_data, Free> data(pcre2_match_data_create(1, nullptr));
  const std::unique_ptr<pcre2_match_context, Free> context(pcre2_match_context_create(nullptr));
  if (data == nullptr || context == nullptr) return fail(ErrorCode::kOutOfMemory, "no memory to match a pattern");
  pcre2_set_match_limit(context.get(), kMatchLimit);
  pcre2_set_depth_limit(context.get(), kDepthLimit);
  pcre2_set_heap_limit(context.get(), kHeapLimitKib);
  const int found = pcre2_match(compiled_->code, reinterpret_cast<PCRE2_SPTR>(name.data()), name.size(), 0, options,
                                data.get(), context.get());
  if (found >= 0) return true;
  if (found == PCRE2_ERROR_NOMATCH) return false;
  if (found <= PCRE2_ERROR_UTF8_ERR1 && found >= PCRE2_ERROR_UTF8_ERR21) return false;  // the name is not UTF-8
  return fail(ErrorCode::kCorrupt, "{}: the pattern \"{}\" takes too long to match \"{}\"; write a simpler one",
              compiled_->field, compiled_->pattern, name);
}

Result<bool> NamePattern::matches_start(std::string_view name) const { return run(name, PCRE2_ANCHORED); }
Result<bool> NamePattern::found_in(std::string_view name) const { return run(name, 0); }

Result<const NamePattern*> PatternCache::get(const std::string& pattern) {
  auto it = patterns_.find(pattern);
  if (it == patterns_.end()) {
    NIBBLE_TRY(NamePattern compiled, NamePattern::compile(pattern, field_));
    it = patterns_.emplace(pattern, std::move(compiled)).first;
  }
  return &it->second;
}

}  // namespace nibble
