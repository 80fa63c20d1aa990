// Replacing text in text, and what SentencePiece vocabularies put in the place of spaces.
#pragma once

#include <string>
#include <string_view>

namespace nibble {

/// The U+2581 that stands for a space in SentencePiece vocabularies.
inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

/// Replaces every occurrence of `from` (not empty) by `to`.
std::string replace_every(std::string_view text, std::string_view from, std::string_view to);

}  // namespace nibble
