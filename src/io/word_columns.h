// Matrices of little-endian 32-bit words whose columns are dense bit streams (io/bit_packing.h): GPTQ's codes, one
// stream per output, and the zero points of compressed-tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace nibble {

/// A matrix of little-endian 32-bit words read down its columns: column `c` is a dense stream of words (0, c), (1, c),
/// ...
struct WordColumns {
  const std::byte* words = nullptr;
  std::int64_t columns = 0;  ///< words per row

  std::uint32_t word(std::int64_t row, std::int64_t column) const noexcept {
    std::uint32_t value;
    std::memcpy(&value, words + (row * columns + column) * 4, 4);
    return value;
  }
  /// The code at bit `bit` of column `column`; reads the next word only when the code straddles it.
  std::uint32_t code_at(std::int64_t column, std::int64_t bit, int bits) const noexcept {
    const std::int64_t row = bit >> 5;
    const int shift = static_cast<int>(bit & 31);
    std::uint32_t value = word(row, column) >> shift;
    if (shift + bits > 32) value |= word(row + 1, column) << (32 - shift);
    return value & ((1u << bits) - 1u);
  }
  /// codes[c - first][i] = code i of column c, for `column_count` columns and `count` codes each; row pitch is `pitch`.
  void unpack(std::int64_t first, std::int64_t column_count, int bits, std::int64_t count, std::uint8_t* codes,
              std::int64_t pitch) const noexcept;
};

/// The inverse of all columns: words [ceil(count * bits / 32), columns] from codes [columns, count], unused bits zero.
void pack_word_columns(const std::uint8_t* codes, std::int64_t columns, int bits, std::int64_t count,
                       std::uint32_t* words);

}  // namespace nibble
