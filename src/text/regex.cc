// PCRE2 behind limits: steps per match, memory, and processor time per call. Just-in-time code where the machine has
// it.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/regex.h"

#include <pcre2.h>

#include <algorithm>

#include "base/cpu_time.h"
#include "base/utf8.h"

namespace nibble {
namespace {

constexpr std::uint32_t kMatchSteps = 20'000'000;  // per match, plus a few per byte of text
constexpr std::uint32_t kHeapKib = 256 << 10;      // for the interpreter, when just-in-time code runs out of stack
constexpr std::size_t kJitStackBytes = 64 << 20;   // reserved only after the 32 KiB default was too small
constexpr double kMaxSeconds = 20;                 // processor time of one find_all
constexpr std::size_t kStartsPerCall = 64;         // start positions tried in one call, so that the clock is seen

std::string error_text(int code) {
  unsigned char buffer[256] = {};
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using MatchData = std::unique_ptr<pcre2_match_data, Freer<pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Freer<pcre2_match_context_free>>;
using CompileContext = std::unique_ptr<pcre2_compile_context, Freer<pcre2_compile_context_free>>;
using JitStack = std::unique_ptr<pcre2_jit_stack, Freer<pcre2_jit_stack_free>>;

}  // namespace

struct Regex::Compiled {
  std::string pattern;
  std::string what;
  std::unique_ptr<pcre2_code, Freer<pcre2_code_free>> code;
};

const std::string& Regex::pattern() const { return compiled_->pattern; }

Result<Regex> Regex::compile(std::string_view pattern, std::string_view what) {
  NIBBLE_TRY(const std::string translated, translate_oniguruma(pattern, what));
  const CompileContext context(pcre2_compile_context_create(nullptr));
  if (!context) return fail(ErrorCode::kOutOfMemory, "{}: no memory for a pattern", what);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int code = 0;
  PCRE2_SIZE offset = 0;
  auto compiled = std::make_shared<Compiled>();
  compiled->code.reset(pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_DOLLAR_ENDONLY | PCRE2_USE_OFFSET_LIMIT | PCRE2_NEVER_BACKSLASH_C,
      &code, &offset, context.get()));
  if (!compiled->code)
    return fail(ErrorCode::kUnsupported, "{}: the pattern \"{}\" is not understood: {} (byte {} of \"{}\")", what,
                pattern, error_text(code), offset, translated);
  pcre2_jit_compile(compiled->code.get(), PCRE2_JIT_COMPLETE);  // may be unavailable: then the interpreter runs
  compiled->pattern = pattern;
  compiled->what = what;
  Regex out;
  out.compiled_ = std::move(compiled);
  return out;
}

namespace {

/// One pass over a text: owns PCRE2's scratch memory and falls back from small to large stacks to the interpreter.
class Matcher {
 public:
  Matcher(const pcre2_code* code, std::string_view text)
      : code_(code),
        text_(text),
        data_(pcre2_match_data_create_from_pattern(code, nullptr)),
        context_(pcre2_match_context_create(nullptr)) {
    if (!ready()) return;
    const std::uint64_t steps = kMatchSteps + 8 * static_cast<std::uint64_t>(text.size());
    pcre2_set_match_limit(context_.get(), static_cast<std::uint32_t>(std::min<std::uint64_t>(steps, UINT32_MAX)));
    pcre2_set_heap_limit(context_.get(), kHeapKib);
  }

  bool ready() const { return data_ && context_; }
  TextSpan span() const {
    const PCRE2_SIZE* found = pcre2_get_ovector_pointer(data_.get());
    return {found[0], found[1]};
  }

  /// Looks for a match that starts in [from, last_start]. Returns PCRE2's code.
  int match(std::size_t from, std::size_t last_start) {
    pcre2_set_offset_limit(context_.get(), last_start);
    int code = run(from);
    if (code == PCRE2_ERROR_JIT_STACKLIMIT && !stack_) {
      stack_.reset(pcre2_jit_stack_create(32 << 10, kJitStackBytes, nullptr));
      if (stack_) pcre2_jit_stack_assign(context_.get(), nullptr, stack_.get());
      code = run(from);
    }
    if (code == PCRE2_ERROR_JIT_STACKLIMIT) {
      options_ |= PCRE2_NO_JIT;
      code = run(from);
    }
    return code;
  }

 private:
  int run(std::size_t from) {
    return pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text_.data()), text_.size(), from, options_, data_.get(),
                       context_.get());
  }

  const pcre2_code* code_;
  std::string_view text_;
  MatchData data_;
  MatchContext context_;
  JitStack stack_;
  std::uint32_t options_ = PCRE2_NO_UTF_CHECK;
};

}  // namespace

Status Regex::find_all(std::string_view text, std::vector<TextSpan>& matches) const {
  Matcher matcher(compiled_->code.get(), text);
  if (!matcher.ready()) return fail(ErrorCode::kOutOfMemory, "{}: no memory for matching", compiled_->what);
  const auto after = [&](std::size_t at) { return at + (at < text.size() ? utf8_at(text, at).bytes : 1); };
  const auto too_slow = [&](std::string_view why) {
    return fail(
        ErrorCode::kUnsupported,
        "{}: the pattern \"{}\" gave up on a text of {} bytes ({}); split the text or use another pre-tokenizer",
        compiled_->what, compiled_->pattern, text.size(), why);
  };
  std::size_t at = 0;
  std::size_t last_end = std::string_view::npos;
  const double started = text.size() > kStartsPerCall ? thread_cpu_seconds() : 0;
  int code = 0;
  for (std::size_t calls = 1; at <= text.size(); ++calls) {
    const bool look = text.size() > kStartsPerCall && (code == PCRE2_ERROR_NOMATCH || calls % 64 == 0);
    if (look && thread_cpu_seconds() - started > kMaxSeconds) return too_slow("time limit");
    const std::size_t last_start = std::min(text.size(), at + kStartsPerCall);
    code = matcher.match(at, last_start);
    if (code == PCRE2_ERROR_NOMATCH) {
      at = last_start;
      while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;  // to a character
      if (at == last_start) at = after(at);
      continue;
    }
    if (code < 0) return too_slow(error_text(code));
    TextSpan found = matcher.span();
    if (found.end < found.begin) found.end = found.begin;  // \K inside a lookahead
    if (found.begin == found.end) {
      at = after(found.end);
      if (found.end == last_end) continue;  // an empty match right after a match does not count
    } else {
      at = found.end;
    }
    if (found.begin < (last_end == std::string_view::npos ? 0 : last_end)) continue;
    last_end = found.end;
    matches.push_back(found);
  }
  return {};
}

}  // namespace nibble
