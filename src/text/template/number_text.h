// Numbers to text and back, as Python writes and reads them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nibble::jinja {

/// repr(float): the shortest text that reads back as the same number; "inf", "-inf", "nan".
std::string float_repr(double value);
/// The presentation types f, F, e, E, g and G of Python's formats; `alternate` is the '#' flag. No sign handling beyond
/// a leading '-'. `precision` at most kMaxPrecision.
std::string format_float(double value, char type, int precision, bool alternate);
inline constexpr int kMaxPrecision = 400;
/// Digits of a non-negative number in base 2, 8, 10 or 16.
std::string format_unsigned(std::uint64_t value, int base, bool upper);

/// int(text, base): white space, sign, prefix and underscores as in Python; nothing when it is no integer or does not
/// fit 64 bits. `base` is 0 or 2..36.
std::optional<std::int64_t> parse_int(std::string_view text, int base);
/// float(text).
std::optional<double> parse_float(std::string_view text);

}  // namespace nibble::jinja
