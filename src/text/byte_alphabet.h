// The alphabet of byte-level BPE: each of the 256 bytes has a printable character of its own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace nibble {

/// Bytes 0x21-0x7E, 0xA1-0xAC and 0xAE-0xFF stand for themselves; the other 68, in order, are U+0100 to U+0143.
/// So a space is U+0120 and a newline U+010A. Source: the GPT-2 tokenizer.
char32_t byte_to_alphabet(std::uint8_t byte) noexcept;

/// The byte that a character stands for, or -1.
int alphabet_to_byte(char32_t code) noexcept;

/// Every byte of `text` as a character of the alphabet.
std::string to_byte_alphabet(std::string_view text);

/// The inverse. Returns false, leaving `out` as it was, when a character is not of the alphabet.
bool from_byte_alphabet(std::string_view mapped, std::string& out);

}  // namespace nibble
