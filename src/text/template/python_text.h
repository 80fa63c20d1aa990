// What Python's str does, on UTF-8: code points, white space, case, line ends, quoting. All text is valid UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nibble::jinja {

/// The number of code points, or nothing when `text` is not UTF-8.
std::optional<std::size_t> count_code_points(std::string_view text);
/// Bytes of the code point that starts with `lead`.
inline std::size_t code_point_bytes(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : (byte < 0xE0 ? 2 : (byte < 0xF0 ? 3 : 4));
}
/// The code point at `position`, which moves past it.
char32_t next_code_point(std::string_view text, std::size_t& position);
/// The code point that ends before `position`, which moves to its start.
char32_t previous_code_point(std::string_view text, std::size_t& position);
void append_code_point(std::string& out, char32_t code_point);
/// The byte offset of code point `index` (counted from the start; at most the length).
std::size_t byte_offset(std::string_view text, std::size_t index);

bool is_space(char32_t c);      ///< str.isspace
bool is_printable(char32_t c);  ///< str.isprintable
bool is_letter(char32_t c);     ///< str.isalpha
bool is_decimal(char32_t c);    ///< str.isdecimal
bool is_digit(char32_t c);      ///< str.isdigit: decimals, superscripts, circled digits ...
bool is_numeric(char32_t c);    ///< str.isnumeric, without the Han numerals
bool is_upper(char32_t c);
bool is_lower(char32_t c);
bool is_cased(char32_t c);
bool is_identifier_start(char32_t c);
bool is_identifier_part(char32_t c);
bool is_word(char32_t c);  ///< \w of Python's re

/// str.strip and its one-sided forms; `chars` empty optional strips white space.
std::string_view strip(std::string_view text, bool left, bool right, std::optional<std::string_view> chars = {});

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string swap_case(std::string_view text);
std::string capitalize(std::string_view text);
/// str.title: every run of cased letters starts with a capital.
std::string title_case(std::string_view text);

/// The end of the line that starts at `start`, and in `next` the start of the following one (the size at the end).
std::size_t line_end(std::string_view text, std::size_t start, std::size_t& next);

/// First occurrence at or after `from`, or npos; linear time whatever the texts.
std::size_t find_text(std::string_view text, std::string_view wanted, std::size_t from);
/// Last occurrence that ends at or before `end`, or npos.
std::size_t rfind_text(std::string_view text, std::string_view wanted, std::size_t end);

/// repr(str): quotes, and escapes for what cannot be printed.
void append_repr(std::string& out, std::string_view text);
/// The five characters that HTML treats specially, as MarkupSafe escapes them.
std::string escape_html(std::string_view text);

}  // namespace nibble::jinja
