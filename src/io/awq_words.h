// The words of AWQ's GEMM layout: words[k][c] holds the 4-bit codes of outputs 8 c .. 8 c + 7 at input k, output
// 8 c + kAwqOrder[i] in nibble i. The hub's rows hold one output, so that both directions are transpositions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nibble {

/// Nibble i of a word holds column kAwqOrder[i] of its eight; column j is in nibble kAwqNibble[j].
inline constexpr int kAwqOrder[8] = {0, 2, 4, 6, 1, 3, 5, 7};
inline constexpr int kAwqNibble[8] = {0, 4, 1, 5, 2, 6, 3, 7};

/// codes[r][k] = the code of output begin + r at input k. words [cols, columns] little-endian; codes [count, cols].
void unpack_awq_words(const std::byte* words, std::int64_t columns, std::int64_t begin, std::int64_t count,
                      std::int64_t cols, std::uint8_t* codes) noexcept;

/// The inverse, of all 8 * columns outputs. words [cols, columns].
void pack_awq_words(const std::uint8_t* codes, std::int64_t columns, std::int64_t cols, std::uint32_t* words) noexcept;

}  // namespace nibble
