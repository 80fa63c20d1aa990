// The hand-written splitters. Each walks the text once, deciding at every position as the pattern's alternatives would,
// in their order; runs of white space are measured once, so no input makes them quadratic.
#include "text/splitter.h"

#include <algorithm>
#include <array>

#include "base/utf8.h"
#include "text/patterns.h"
#include "text/unicode_class.h"

namespace nibble {
namespace {

using Matches = std::vector<TextSpan>;

/// A character and its class; past the end of the text the class is 0 and bytes is 0.
struct Char {
  char32_t code = 0;
  std::uint8_t bits = 0;
  std::uint32_t bytes = 0;

  bool is(unsigned mask) const { return (bits & mask) != 0; }
  /// [^\s\p{L}\p{N}]
  bool is_other() const { return bytes != 0 && !is(kSpace | kLetter | kNumber); }
  bool is_line_end() const { return bytes != 0 && (code == '\r' || code == '\n'); }
};

Char char_at(std::string_view text, std::size_t at) {
  if (at >= text.size()) return {};
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return {lead, kAsciiClass[lead], 1};
  const Utf8Step step = utf8_at(text, at);
  return {step.code, char_class(step.code), step.bytes};
}

/// The end of the run of characters with any bit of `mask` that begins at `at`.
std::size_t run_end(std::string_view text, std::size_t at, unsigned mask) {
  for (Char c = char_at(text, at); c.is(mask); c = char_at(text, at)) at += c.bytes;
  return at;
}

std::size_t other_run_end(std::string_view text, std::size_t at) {
  for (Char c = char_at(text, at); c.is_other(); c = char_at(text, at)) at += c.bytes;
  return at;
}

/// The length of 's 't 're 've 'm 'll 'd at `at`, where an apostrophe stands, or 0. Ignoring case, a long s is an s.
std::size_t contraction_bytes(std::string_view text, std::size_t at, bool ignore_case) {
  const auto letter = [&](std::size_t i) {
    const char c = i < text.size() ? text[i] : '\0';
    return ignore_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  const char first = letter(at + 1);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  const char second = letter(at + 2);
  if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l')) return 3;
  if (ignore_case && text.substr(at + 1, 2) == "\xC5\xBF") return 3;
  return 0;
}

/// \s+(?!\S)|\s+ at `at`, where white space stands: the run but for its last character, unless the text ends there.
std::size_t spaces_end(std::string_view text, std::size_t at) {
  std::size_t last = at;
  std::size_t end = at;
  for (Char c = char_at(text, end); c.is(kSpace); c = char_at(text, end)) {
    last = end;
    end += c.bytes;
  }
  return end == text.size() || last == at ? end : last;
}

void split_gpt2(std::string_view text, Matches& matches) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const Char c = char_at(text, at);
    const std::size_t contraction = c.code == '\'' ? contraction_bytes(text, at, /*ignore_case=*/false) : 0;
    const std::size_t start = c.code == ' ' ? at + 1 : at;
    const Char first = c.code == ' ' ? char_at(text, start) : c;
    if (contraction != 0) {
      at += contraction;
    } else if (first.is(kLetter)) {
      at = run_end(text, start, kLetter);
    } else if (first.is(kNumber)) {
      at = run_end(text, start, kNumber);
    } else if (first.is_other()) {
      at = other_run_end(text, start);
    } else {
      at = spaces_end(text, at);
    }
    matches.push_back({begin, at});
  }
}

/// \s*[\r\n]+|\s+(?!\S)|\s+ at `at`, where white space stands.
std::size_t spaces_and_line_ends_end(std::string_view text, std::size_t at) {
  std::size_t after_line_end = 0;
  std::size_t last = at;
  std::size_t end = at;
  for (Char c = char_at(text, end); c.is(kSpace); c = char_at(text, end)) {
    last = end;
    end += c.bytes;
    if (c.is_line_end()) after_line_end = end;
  }
  if (after_line_end != 0) return after_line_end;
  return end == text.size() || last == at ? end : last;
}

/// The patterns of Llama 3 (numbers by three), Qwen 2 (each number) and MiniCPM 5 (any: 0).
template <int kMaxNumbers>
void split_llama3(std::string_view text, Matches& matches) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const Char c = char_at(text, at);
    const std::size_t contraction = c.code == '\'' ? contraction_bytes(text, at, /*ignore_case=*/true) : 0;
    if (contraction != 0) {
      at += contraction;
    } else if (c.is(kLetter)) {
      at = run_end(text, at, kLetter);
    } else if (c.is(kNumber)) {
      at += c.bytes;
      Char next = char_at(text, at);
      for (int count = 1; next.is(kNumber) && (kMaxNumbers == 0 || count < kMaxNumbers); ++count) {
        at += next.bytes;
        next = char_at(text, at);
      }
    } else if (!c.is_line_end() && char_at(text, at + c.bytes).is(kLetter)) {
      at = run_end(text, at + c.bytes, kLetter);
    } else if (c.is_other() || (c.code == ' ' && char_at(text, at + 1).is_other())) {
      at = other_run_end(text, c.code == ' ' ? at + 1 : at);
      while (char_at(text, at).is_line_end()) ++at;
    } else {
      at = spaces_and_line_ends_end(text, at);
    }
    matches.push_back({begin, at});
  }
}

void split_each_number(std::string_view text, Matches& matches) {
  for (std::size_t at = 0; at < text.size();) {
    const Char c = char_at(text, at);
    if (c.is(kNumber)) matches.push_back({at, at + c.bytes});
    at += c.bytes;
  }
}

void split_lines(std::string_view text, Matches& matches) {
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = text[at] == '\n' ? text.find_first_not_of('\n', at) : text.find('\n', at);
    end = std::min(end, text.size());
    matches.push_back({at, end});
    at = end;
  }
}

/// \s+$ where white space holds no line end but at the text's end; $ is before every \n.
void split_spaces_at_end(std::string_view text, Matches& matches) {
  for (std::size_t at = 0; at < text.size();) {
    const Char c = char_at(text, at);
    if (!c.is(kSpace)) {
      at += c.bytes;
      continue;
    }
    const std::size_t end = run_end(text, at, kSpace);
    // Greedy: the last place in the run that is the text's end or stands before a \n, past at least one space.
    std::size_t stop = end;
    if (end != text.size()) {
      while (stop > at && text[stop - 1] != '\n') --stop;  // one past the run's last \n
      if (stop > at) --stop;
    }
    if (stop > at) matches.push_back({at, stop});
    at = end;
  }
}

enum class Thousands { kGroups, kGroupsBeforeWordEnd, kPlaces };

/// Numbers in groups of three, counted from the right of each run of `kMask` characters.
template <unsigned kMask, Thousands kWhat>
void split_thousands(std::string_view text, Matches& matches) {
  std::vector<std::size_t> starts;  // of the run's characters
  for (std::size_t at = 0; at < text.size();) {
    const Char c = char_at(text, at);
    if (!c.is(kMask)) {
      at += c.bytes;
      continue;
    }
    starts.clear();
    for (Char next = c; next.is(kMask); next = char_at(text, at)) {
      starts.push_back(at);
      at += next.bytes;
    }
    const std::size_t count = starts.size();
    const Char after = char_at(text, at);
    if (kWhat == Thousands::kGroupsBeforeWordEnd && after.bytes != 0 && is_word_character(after.code)) continue;
    for (std::size_t i = 0; i < count;) {
      const std::size_t size = (count - i - 1) % 3 + 1;
      const std::size_t end = i + size < count ? starts[i + size] : at;
      if (kWhat != Thousands::kPlaces) {
        matches.push_back({starts[i], end});
      } else if (size == 3) {
        matches.push_back({starts[i], starts[i]});
      }
      i += size;
    }
  }
}

struct Handwritten {
  std::string_view pattern;
  void (*scan)(std::string_view, Matches&);
};

constexpr std::array kHandwritten = {
    Handwritten{patterns::kGpt2, split_gpt2},
    Handwritten{patterns::kLlama3, split_llama3<3>},
    Handwritten{patterns::kQwen2, split_llama3<1>},
    Handwritten{patterns::kMiniCpm5, split_llama3<0>},
    Handwritten{patterns::kEachNumber, split_each_number},
    Handwritten{patterns::kLines, split_lines},
    Handwritten{patterns::kSpacesAtEnd, split_spaces_at_end},
    Handwritten{patterns::kThousands, split_thousands<kNumber, Thousands::kGroups>},
    Handwritten{patterns::kThousandsBeforeWordEnd, split_thousands<kDigit, Thousands::kGroupsBeforeWordEnd>},
    Handwritten{patterns::kThousandsPlaces, split_thousands<kDigit, Thousands::kPlaces>},
};

}  // namespace

Result<Splitter> Splitter::compile(std::string_view pattern, std::string_view what) {
  for (const Handwritten& known : kHandwritten) {
    if (known.pattern != pattern) continue;
    Splitter out;
    out.scan_ = known.scan;
    return out;
  }
  return compile_general(pattern, what);
}

Result<Splitter> Splitter::compile_general(std::string_view pattern, std::string_view what) {
  NIBBLE_TRY(Regex regex, Regex::compile(pattern, what));
  Splitter out;
  out.regex_ = std::move(regex);
  return out;
}

Status Splitter::find_all(std::string_view text, std::vector<TextSpan>& matches) const {
  if (scan_ == nullptr) return regex_.find_all(text, matches);
  scan_(text, matches);
  return {};
}

std::vector<std::string_view> handwritten_patterns() {
  std::vector<std::string_view> out;
  for (const Handwritten& known : kHandwritten) out.push_back(known.pattern);
  return out;
}

}  // namespace nibble
