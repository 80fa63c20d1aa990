// Decomposition and composition use utf8proc character by character; its own whole-string function sorts marks by
// exchanging neighbours, which takes quadratic time on a long run of them.
#include "text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>

#include "base/utf8.h"
#include "text/unicode_class.h"

namespace nibble {
namespace {

using Codes = std::vector<utf8proc_int32_t>;

void decompose(std::string_view text, bool compatibility, Codes& codes) {
  const auto options =
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatibility ? UTF8PROC_COMPAT : 0));
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_at(text, at);
    at += step.bytes;
    utf8proc_int32_t buffer[64];
    int boundary = 0;
    const utf8proc_ssize_t count =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(step.code), buffer, 64, options, &boundary);
    if (count < 0 || count > 64) {
      codes.push_back(static_cast<utf8proc_int32_t>(step.code));
    } else {
      codes.insert(codes.end(), buffer, buffer + count);
    }
  }
}

/// Puts every run of characters with a combining class in the order of their classes, stably.
void order_marks(Codes& codes) {
  const auto combining_class = [](utf8proc_int32_t code) { return utf8proc_get_property(code)->combining_class; };
  for (std::size_t at = 0; at < codes.size();) {
    if (codes[at] < 0x300 || combining_class(codes[at]) == 0) {
      ++at;
      continue;
    }
    std::size_t end = at;
    while (end < codes.size() && combining_class(codes[end]) != 0) ++end;
    if (end - at > 1)
      std::stable_sort(codes.begin() + static_cast<std::ptrdiff_t>(at),
                       codes.begin() + static_cast<std::ptrdiff_t>(end),
                       [&](auto a, auto b) { return combining_class(a) < combining_class(b); });
    at = end;
  }
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

template <typename Rewrite>
std::string rewrite_characters(std::string_view text, Rewrite rewrite) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_at(text, at);
    rewrite(out, step.code);
    at += step.bytes;
  }
  return out;
}

std::string lowercase(std::string_view text) {
  return rewrite_characters(text, [](std::string& out, char32_t code) {
    if (code == 0x130) {  // the one character whose lower case is two
      out += "i\xCC\x87";
    } else {
      append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code))));
    }
  });
}

std::string strip(std::string_view text, bool left, bool right) {
  std::size_t begin = text.size();  // nothing but white space, until a character says otherwise
  std::size_t end = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_at(text, at);
    if ((char_class(step.code) & kSpace) == 0) {
      begin = std::min(begin, at);
      end = at + step.bytes;
    }
    at += step.bytes;
  }
  if (!left) begin = 0;
  if (!right) end = text.size();
  return begin < end ? std::string(text.substr(begin, end - begin)) : std::string();
}

}  // namespace

std::string to_unicode_form(std::string_view text, UnicodeForm form) {
  if (is_ascii(text)) return std::string(text);
  Codes codes;
  codes.reserve(text.size());
  decompose(text, form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd, codes);
  order_marks(codes);
  auto count = static_cast<utf8proc_ssize_t>(codes.size());
  if (form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc) {
    const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    count = std::max<utf8proc_ssize_t>(utf8proc_normalize_utf32(codes.data(), count, options), 0);
  }
  std::string out;
  out.reserve(text.size());
  for (utf8proc_ssize_t i = 0; i < count; ++i)
    append_utf8(out, static_cast<char32_t>(codes[static_cast<std::size_t>(i)]));
  return out;
}

Result<Normalizer> Normalizer::build(const std::vector<NormalizerStep>& steps, std::string_view what) {
  Normalizer out;
  for (const NormalizerStep& spec : steps) {
    Step step{spec, {}};
    if (spec.kind == NormalizerStep::Kind::kReplace) {
      if (spec.pattern_is_regex) {
        NIBBLE_TRY(step.regex, Regex::compile(spec.pattern, what));
      } else if (spec.pattern.empty()) {
        return fail(ErrorCode::kCorrupt, "{}: a Replace normalizer with an empty pattern", what);
      }
    }
    out.steps_.push_back(std::move(step));
  }
  return out;
}

Result<std::string> Normalizer::apply(std::string text) const {
  using Kind = NormalizerStep::Kind;
  const std::size_t limit = 64 * text.size() + 4096;
  const auto too_long = [&] {
    return fail(ErrorCode::kUnsupported, "normalizing made {} bytes of text more than 64 times longer", text.size());
  };
  for (const Step& step : steps_) {
    const NormalizerStep& spec = step.spec;
    switch (spec.kind) {
      case Kind::kNfc:
        text = to_unicode_form(text, UnicodeForm::kNfc);
        break;
      case Kind::kNfd:
        text = to_unicode_form(text, UnicodeForm::kNfd);
        break;
      case Kind::kNfkc:
        text = to_unicode_form(text, UnicodeForm::kNfkc);
        break;
      case Kind::kNfkd:
        text = to_unicode_form(text, UnicodeForm::kNfkd);
        break;
      case Kind::kLowercase:
        text = lowercase(text);
        break;
      case Kind::kStripAccents:
        text = rewrite_characters(text, [](std::string& out, char32_t code) {
          if ((char_class(code) & kMark) == 0) append_utf8(out, code);
        });
        break;
      case Kind::kStrip:
        text = strip(text, spec.strip_left, spec.strip_right);
        break;
      case Kind::kPrepend:
        if (!text.empty()) text.insert(0, spec.content);
        break;
      case Kind::kReplace: {
        std::vector<TextSpan> matches;
        if (step.regex) {
          NIBBLE_TRY_STATUS(step.regex->find_all(text, matches));
        } else {
          for (std::size_t at = text.find(spec.pattern); at != std::string::npos;
               at = text.find(spec.pattern, at + spec.pattern.size()))
            matches.push_back({at, at + spec.pattern.size()});
        }
        if (matches.size() > limit / std::max<std::size_t>(spec.content.size(), 1)) return too_long();
        std::string replaced;
        replaced.reserve(text.size() + matches.size() * spec.content.size());
        std::size_t done = 0;
        for (const TextSpan match : matches) {
          replaced.append(text, done, match.begin - done).append(spec.content);
          done = match.end;
        }
        text = std::move(replaced.append(text, done));
        break;
      }
    }
    if (text.size() > limit) return too_long();
  }
  return text;
}

}  // namespace nibble
