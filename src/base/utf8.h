// UTF-8 (RFC 3629): code points in and out of bytes, validity, repair, and text from outside in messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace nibble {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

/// One step through UTF-8 bytes. When the bytes are not a character, `valid` is false, `bytes` is 1 and `code` is
/// U+FFFD.
struct Utf8Step {
  char32_t code = 0;
  std::uint32_t bytes = 1;
  bool valid = true;
};

/// The character at text[at]; at < text.size(). Overlong forms, surrogates and values past U+10FFFF are not characters.
Utf8Step utf8_at(std::string_view text, std::size_t at) noexcept;

/// The length that a lead byte announces (1 for continuation bytes), clipped to the end of the text.
std::size_t utf8_length_by_lead(std::string_view text, std::size_t at) noexcept;

/// Appends one code point; U+FFFD in place of what is no code point.
void append_utf8(std::string& out, char32_t code);

/// Whether all bytes are characters: no overlong forms, no surrogates, nothing past U+10FFFF.
bool is_utf8(std::string_view text) noexcept;

/// The text with U+FFFD in place of every byte that is not part of a character.
std::string repair_utf8(std::string_view text);

/// How many bytes at the end of `text` could be the beginning of a character that further bytes complete: 0 to 3.
std::size_t incomplete_utf8_tail(std::string_view text) noexcept;

/// Replaces malformed bytes by U+FFFD, one per maximal prefix of a character, as decoders of streams do.
std::string replace_malformed_utf8(std::string_view text);

/// `text` fit for a message: at most `max_bytes` (then "..."), bytes that are not UTF-8 and control characters as '?'.
std::string printable(std::string_view text, std::size_t max_bytes = 160);

}  // namespace nibble
