#include "text/template/number_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "text/template/python_text.h"

namespace nibble::jinja {
namespace {

/// "0." and up to 308 zeros before the point and kMaxPrecision digits behind it.
constexpr std::size_t kFloatBuffer = 1024;

std::string special_float(double value, bool upper) {
  const std::string text = std::isnan(value) ? "nan" : (value < 0 ? "-inf" : "inf");
  return upper ? to_upper(text) : text;
}

}  // namespace

std::string float_repr(double value) {
  if (!std::isfinite(value)) return special_float(value, false);
  char buffer[64];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  const std::string_view scientific(buffer, static_cast<std::size_t>(end - buffer));
  const std::size_t e = scientific.find('e');
  int exponent = 0;
  const char* digits = scientific.data() + e + (scientific[e + 1] == '+' ? 2 : 1);
  std::from_chars(digits, scientific.data() + scientific.size(), exponent);
  if (exponent < -4 || exponent >= 16) return std::string(scientific);
  char plain[64];
  end = std::to_chars(plain, plain + sizeof plain, value, std::chars_format::fixed).ptr;
  std::string text(plain, static_cast<std::size_t>(end - plain));
  if (text.find('.') == text.npos) text += ".0";
  return text;
}

std::string format_float(double value, char type, int precision, bool alternate) {
  const bool upper = type == 'F' || type == 'E' || type == 'G';
  if (!std::isfinite(value)) return special_float(value, upper);
  std::chars_format style = std::chars_format::fixed;
  if (type == 'e' || type == 'E') style = std::chars_format::scientific;
  if (type == 'g' || type == 'G') style = std::chars_format::general;
  if (style == std::chars_format::general && precision == 0) precision = 1;
  char buffer[kFloatBuffer];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, style, std::min(precision, kMaxPrecision)).ptr;
  std::string text(buffer, static_cast<std::size_t>(end - buffer));
  if (alternate && text.find('.') == text.npos) text.insert(std::min(text.find('e'), text.size()), ".");
  return upper ? to_upper(text) : text;
}

std::string format_unsigned(std::uint64_t value, int base, bool upper) {
  char buffer[72];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, base).ptr;
  std::string text(buffer, static_cast<std::size_t>(end - buffer));
  return upper ? to_upper(text) : text;
}

std::optional<std::int64_t> parse_int(std::string_view text, int base) {
  text = strip(text, true, true);
  const bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  bool prefixed = false;
  if (text.size() > 1 && text[0] == '0') {
    const char letter = static_cast<char>(text[1] | 0x20);
    const int implied = letter == 'x' ? 16 : (letter == 'o' ? 8 : (letter == 'b' ? 2 : 0));
    if (implied != 0 && (base == 0 || base == implied)) {
      base = implied;
      prefixed = true;
      text.remove_prefix(2);
    }
  }
  const bool literal = base == 0;
  if (literal) base = 10;
  std::string digits;
  bool underscore_allowed = prefixed;
  for (const char c : text) {
    if (c == '_') {
      if (!underscore_allowed) return std::nullopt;
      underscore_allowed = false;
    } else {
      digits += c;
      underscore_allowed = true;
    }
  }
  if (digits.empty() || !underscore_allowed || digits[0] == '-') return std::nullopt;
  if (literal && digits[0] == '0' && digits.find_first_not_of('0') != digits.npos) return std::nullopt;
  std::uint64_t magnitude = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), magnitude, base);
  if (result.ec != std::errc() || result.ptr != digits.data() + digits.size()) return std::nullopt;
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (magnitude > kMax + (negative ? 1 : 0)) return std::nullopt;
  return static_cast<std::int64_t>(negative ? 0 - magnitude : magnitude);
}

std::optional<double> parse_float(std::string_view text) {
  text = strip(text, true, true);
  std::string digits;
  char previous = 0;
  for (std::size_t i = 0; i < text.size(); previous = text[i++]) {
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (text[i] != '_') {
      digits += text[i];
    } else if (!is_digit(previous) || i + 1 == text.size() || !is_digit(text[i + 1])) {
      return std::nullopt;
    }
  }
  std::string_view rest = digits;
  const bool negative = !rest.empty() && rest[0] == '-';
  if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) rest.remove_prefix(1);
  const std::string lower = to_lower(rest);
  double value = 0;
  if (lower == "inf" || lower == "infinity") {
    value = std::numeric_limits<double>::infinity();
  } else if (lower == "nan") {
    value = std::numeric_limits<double>::quiet_NaN();
  } else {
    if (rest.empty() || rest[0] == '-' || lower.find_first_not_of("0123456789.e+-") != lower.npos) return std::nullopt;
    const auto result = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (result.ptr != rest.data() + rest.size()) return std::nullopt;
    if (result.ec == std::errc::invalid_argument) return std::nullopt;
    if (result.ec == std::errc::result_out_of_range) {
      const bool tiny = lower.find("e-") != lower.npos || lower.rfind("0.", 0) == 0;
      value = tiny ? 0.0 : std::numeric_limits<double>::infinity();
    }
  }
  return negative ? -value : value;
}

}  // namespace nibble::jinja
