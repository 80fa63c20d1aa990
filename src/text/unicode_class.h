// What kind of character a code point is, as far as tokenizers ask: letter, number, mark, space, punctuation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace nibble {

/// Unicode general categories L*, N*, M*, P*, S*, and the property White_Space.
enum CharClass : std::uint8_t {
  kLetter = 1,
  kNumber = 2,
  kMark = 4,
  kSpace = 8,
  kPunctuation = 16,
  kSymbol = 32,
  kDigit = 64,            ///< category Nd, always together with kNumber
  kUnderscoreLike = 128,  ///< category Pc, always together with kPunctuation
};

/// The bits of CharClass that hold for a code point; 0 for the rest (controls, unassigned, ...).
std::uint8_t char_class_of(char32_t code) noexcept;

constexpr std::array<std::uint8_t, 128> ascii_classes() noexcept {
  std::array<std::uint8_t, 128> out{};
  for (std::size_t c = 0; c < 128; ++c) {
    if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) {
      out[c] = kLetter;
    } else if (c >= '0' && c <= '9') {
      out[c] = kNumber | kDigit;
    } else if ((c >= 0x09 && c <= 0x0D) || c == 0x20) {
      out[c] = kSpace;
    } else if (c == '_') {
      out[c] = kPunctuation | kUnderscoreLike;
    } else if (c == '$' || c == '+' || c == '<' || c == '=' || c == '>' || c == '^' || c == '`' || c == '|' ||
               c == '~') {
      out[c] = kSymbol;
    } else if (c > 0x20 && c < 0x7F) {
      out[c] = kPunctuation;
    }
  }
  return out;
}

inline constexpr std::array<std::uint8_t, 128> kAsciiClass = ascii_classes();

inline std::uint8_t char_class(char32_t code) noexcept { return code < 128 ? kAsciiClass[code] : char_class_of(code); }

/// Regex \w as Oniguruma and Rust define it: alphabetic, mark, decimal digit or connector punctuation.
bool is_word_character(char32_t code) noexcept;

/// Punctuation as Hugging Face tokenizers define it: category P* or any ASCII symbol.
inline bool is_tokenizer_punctuation(char32_t code) noexcept {
  const std::uint8_t bits = char_class(code);
  return (bits & kPunctuation) != 0 || (code < 128 && (bits & kSymbol) != 0);
}

}  // namespace nibble
