// Upper, lower and title case as Python has them: Unicode's simple mappings, and of SpecialCasing.txt (Unicode 14) the
// unconditional entries of Latin, Greek, Armenian and ligatures, and the final sigma.
#include <utf8proc.h>

#include <algorithm>
#include <iterator>

#include "text/template/python_text.h"

namespace nibble::jinja {
namespace {

struct SpecialCase {
  char32_t from;
  std::u32string_view upper;
  std::u32string_view title;
};

constexpr SpecialCase kSpecialCases[] = {
    {0x00DF, U"SS", U"Ss"},
    {0x0149, U"\u02BCN", U"\u02BCN"},
    {0x01F0, U"J\u030C", U"J\u030C"},
    {0x0390, U"\u0399\u0308\u0301", U"\u0399\u0308\u0301"},
    {0x03B0, U"\u03A5\u0308\u0301", U"\u03A5\u0308\u0301"},
    {0x0587, U"\u0535\u0552", U"\u0535\u0582"},
    {0x1E96, U"H\u0331", U"H\u0331"},
    {0x1E97, U"T\u0308", U"T\u0308"},
    {0x1E98, U"W\u030A", U"W\u030A"},
    {0x1E99, U"Y\u030A", U"Y\u030A"},
    {0x1E9A, U"A\u02BE", U"A\u02BE"},
    {0xFB00, U"FF", U"Ff"},
    {0xFB01, U"FI", U"Fi"},
    {0xFB02, U"FL", U"Fl"},
    {0xFB03, U"FFI", U"Ffi"},
    {0xFB04, U"FFL", U"Ffl"},
    {0xFB05, U"ST", U"St"},
    {0xFB06, U"ST", U"St"},
};

const SpecialCase* special_case(char32_t c) {
  const auto found = std::lower_bound(std::begin(kSpecialCases), std::end(kSpecialCases), c,
                                      [](const SpecialCase& entry, char32_t value) { return entry.from < value; });
  return found != std::end(kSpecialCases) && found->from == c ? found : nullptr;
}

void append_all(std::string& out, std::u32string_view text) {
  for (const char32_t c : text) append_code_point(out, c);
}

void append_upper(std::string& out, char32_t c) {
  if (const SpecialCase* special = special_case(c)) return append_all(out, special->upper);
  append_code_point(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
}

void append_title(std::string& out, char32_t c) {
  if (const SpecialCase* special = special_case(c)) return append_all(out, special->title);
  append_code_point(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
}

/// A sigma after a letter and not before one takes its final form. Case-ignorable characters (marks, apostrophes, the
/// full stop ...) are looked past, as the standard says.
bool is_case_ignorable(char32_t c) {
  const auto kind = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return kind == UTF8PROC_CATEGORY_MN || kind == UTF8PROC_CATEGORY_ME || kind == UTF8PROC_CATEGORY_CF ||
         kind == UTF8PROC_CATEGORY_LM || kind == UTF8PROC_CATEGORY_SK || c == '\'' || c == '.' || c == ':' ||
         c == 0xB7 || c == 0x2019;
}

bool is_final_sigma(std::string_view text, std::size_t start, std::size_t end) {
  bool letter_before = false;
  while (start > 0) {
    const char32_t c = previous_code_point(text, start);
    if (is_case_ignorable(c)) continue;
    letter_before = is_cased(c);
    break;
  }
  if (!letter_before) return false;
  while (end < text.size()) {
    const char32_t c = next_code_point(text, end);
    if (!is_case_ignorable(c)) return !is_cased(c);
  }
  return true;
}

void append_lower(std::string& out, std::string_view text, std::size_t start, std::size_t end, char32_t c) {
  if (c == 0x03A3) return append_code_point(out, is_final_sigma(text, start, end) ? 0x03C2 : 0x03C3);
  if (c == 0x0130) return append_all(out, U"i\u0307");
  append_code_point(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}

}  // namespace

std::string to_upper(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) append_upper(out, next_code_point(text, i));
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t start = i;
    const char32_t c = next_code_point(text, i);
    append_lower(out, text, start, i, c);
  }
  return out;
}

std::string swap_case(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t start = i;
    const char32_t c = next_code_point(text, i);
    if (is_upper(c)) {
      append_lower(out, text, start, i, c);
    } else if (is_lower(c)) {
      append_upper(out, c);
    } else {
      append_code_point(out, c);
    }
  }
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t start = i;
    const char32_t c = next_code_point(text, i);
    if (start == 0) {
      append_title(out, c);
    } else {
      append_lower(out, text, start, i, c);
    }
  }
  return out;
}

std::string title_case(std::string_view text) {
  std::string out;
  bool in_word = false;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t start = i;
    const char32_t c = next_code_point(text, i);
    if (in_word) {
      append_lower(out, text, start, i, c);
    } else {
      append_title(out, c);
    }
    in_word = is_cased(c);
  }
  return out;
}

}  // namespace nibble::jinja
