#include "text/template/python_text.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <iterator>
#include <vector>

namespace nibble::jinja {
namespace {

utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

bool category_in(char32_t c, utf8proc_category_t first, utf8proc_category_t last) {
  return category(c) >= first && category(c) <= last;
}

}  // namespace

std::optional<std::size_t> count_code_points(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < text.size(); ++count) {
    if (static_cast<unsigned char>(text[i]) < 0x80) {
      ++i;
      continue;
    }
    utf8proc_int32_t code_point = 0;
    const auto left = static_cast<utf8proc_ssize_t>(std::min<std::size_t>(text.size() - i, 4));
    const auto used = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + i, left, &code_point);
    if (used <= 0) return std::nullopt;
    i += static_cast<std::size_t>(used);
  }
  return count;
}

char32_t next_code_point(std::string_view text, std::size_t& position) {
  const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
  const std::size_t bytes = code_point_bytes(text[position]);
  char32_t value = bytes == 1 ? byte(position) : byte(position) & (0xFFu >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) value = (value << 6) | (byte(position + i) & 0x3F);
  position += bytes;
  return value;
}

char32_t previous_code_point(std::string_view text, std::size_t& position) {
  do {
    --position;
  } while ((static_cast<unsigned char>(text[position]) & 0xC0) == 0x80);
  std::size_t start = position;
  return next_code_point(text, start);
}

void append_code_point(std::string& out, char32_t c) {
  const auto put = [&](char32_t byte) { out += static_cast<char>(byte); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6));
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3F));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

std::size_t byte_offset(std::string_view text, std::size_t index) {
  std::size_t offset = 0;
  while (index-- > 0) offset += code_point_bytes(text[offset]);
  return offset;
}

bool is_space(char32_t c) {
  if (c < 0x80) return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20);
  return c == 0x85 || c == 0x2028 || c == 0x2029 || category(c) == UTF8PROC_CATEGORY_ZS;
}

bool is_printable(char32_t c) {
  if (c < 0x7F) return c >= 0x20;
  // ZS, ZL, ZP, CC, CF, CS, CO are the last categories; CN (unassigned) is the first.
  return category(c) != UTF8PROC_CATEGORY_CN && category(c) < UTF8PROC_CATEGORY_ZS;
}

bool is_letter(char32_t c) { return category_in(c, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LO); }
bool is_decimal(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }
bool is_numeric(char32_t c) { return category_in(c, UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO); }

bool is_digit(char32_t c) {
  if (is_decimal(c)) return true;
  // Numeric_Type=Digit of the Unicode database (version 14).
  constexpr char32_t kRanges[][2] = {{0xB2, 0xB3},       {0xB9, 0xB9},       {0x1369, 0x1371},   {0x19DA, 0x19DA},
                                     {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
                                     {0x2474, 0x247C},   {0x2488, 0x2490},   {0x24EA, 0x24EA},   {0x24F5, 0x24FD},
                                     {0x24FF, 0x24FF},   {0x2776, 0x277E},   {0x2780, 0x2788},   {0x278A, 0x2792},
                                     {0x10A40, 0x10A43}, {0x10E60, 0x10E68}, {0x11052, 0x1105A}, {0x1F100, 0x1F10A}};
  return std::any_of(std::begin(kRanges), std::end(kRanges),
                     [&](const auto& range) { return c >= range[0] && c <= range[1]; });
}

bool is_upper(char32_t c) { return utf8proc_isupper(static_cast<utf8proc_int32_t>(c)) != 0; }
bool is_lower(char32_t c) { return utf8proc_islower(static_cast<utf8proc_int32_t>(c)) != 0; }
bool is_cased(char32_t c) { return is_upper(c) || is_lower(c) || category(c) == UTF8PROC_CATEGORY_LT; }

bool is_identifier_start(char32_t c) { return c == '_' || is_letter(c) || category(c) == UTF8PROC_CATEGORY_NL; }

bool is_identifier_part(char32_t c) {
  return is_identifier_start(c) || category(c) == UTF8PROC_CATEGORY_MN || category(c) == UTF8PROC_CATEGORY_MC ||
         category(c) == UTF8PROC_CATEGORY_ND || category(c) == UTF8PROC_CATEGORY_PC;
}

bool is_word(char32_t c) {
  return c == '_' || is_letter(c) || category_in(c, UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO);
}

std::string_view strip(std::string_view text, bool left, bool right, std::optional<std::string_view> chars) {
  std::vector<char32_t> wanted;
  for (std::size_t i = 0; chars && i < chars->size();) wanted.push_back(next_code_point(*chars, i));
  std::sort(wanted.begin(), wanted.end());
  const auto stripped = [&](char32_t c) {
    return chars ? std::binary_search(wanted.begin(), wanted.end(), c) : is_space(c);
  };
  std::size_t begin = 0;
  std::size_t end = text.size();
  while (left && begin < end) {
    std::size_t after = begin;
    if (!stripped(next_code_point(text, after))) break;
    begin = after;
  }
  while (right && begin < end) {
    std::size_t before = end;
    if (!stripped(previous_code_point(text, before))) break;
    end = before;
  }
  return text.substr(begin, end - begin);
}

std::size_t line_end(std::string_view text, std::size_t start, std::size_t& next) {
  std::size_t i = start;
  while (i < text.size()) {
    const std::size_t end = i;
    const char32_t c = next_code_point(text, i);
    const bool breaks = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (!breaks) continue;
    if (c == '\r' && i < text.size() && text[i] == '\n') ++i;
    next = i;
    return end;
  }
  next = text.size();
  return text.size();
}

namespace {

/// Knuth, Morris and Pratt: for each prefix of `wanted`, the length of its longest border. Used for long texts, where
/// the plain search could take text times wanted steps.
std::size_t find_linear(std::string_view text, std::string_view wanted, std::size_t from) {
  std::vector<std::uint32_t> border(wanted.size(), 0);
  for (std::size_t i = 1, k = 0; i < wanted.size(); ++i) {
    while (k > 0 && wanted[i] != wanted[k]) k = border[k - 1];
    if (wanted[i] == wanted[k]) ++k;
    border[i] = static_cast<std::uint32_t>(k);
  }
  for (std::size_t i = from, k = 0; i < text.size(); ++i) {
    while (k > 0 && text[i] != wanted[k]) k = border[k - 1];
    if (text[i] == wanted[k]) ++k;
    if (k == wanted.size()) return i + 1 - k;
  }
  return std::string_view::npos;
}

constexpr std::size_t kPlainSearchBytes = 64;

}  // namespace

std::size_t find_text(std::string_view text, std::string_view wanted, std::size_t from) {
  if (wanted.size() <= kPlainSearchBytes) return text.find(wanted, from);
  return find_linear(text, wanted, from);
}

std::size_t rfind_text(std::string_view text, std::string_view wanted, std::size_t end) {
  if (wanted.size() > end) return std::string_view::npos;
  if (wanted.size() <= kPlainSearchBytes) return text.rfind(wanted, end - wanted.size());
  const std::string reversed_text(text.rend() - static_cast<std::ptrdiff_t>(end), text.rend());
  const std::string reversed_wanted(wanted.rbegin(), wanted.rend());
  const std::size_t found = find_linear(reversed_text, reversed_wanted, 0);
  return found == std::string_view::npos ? found : end - found - wanted.size();
}

void append_repr(std::string& out, std::string_view text) {
  const bool has_single = text.find('\'') != text.npos;
  const char quote = has_single && text.find('"') == text.npos ? '"' : '\'';
  out += quote;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t start = i;
    const char32_t c = next_code_point(text, i);
    if (c == '\\' || c == static_cast<char32_t>(quote)) {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (is_printable(c)) {
      out += text.substr(start, i - start);
    } else {
      const char32_t code = c;
      if (code < 0x100) {
        fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<std::uint32_t>(code));
      } else if (code < 0x10000) {
        fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<std::uint32_t>(code));
      } else {
        fmt::format_to(std::back_inserter(out), "\\U{:08x}", static_cast<std::uint32_t>(code));
      }
    }
  }
  out += quote;
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace nibble::jinja
