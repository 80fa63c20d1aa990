// Blocks of 32 outputs (four words) by 64 inputs pass through a buffer whose rows are cache lines: rows of the hub's
// matrix are often multiples of 4096 bytes apart, and 32 of them would share the few lines of one cache set. What is
// left at the edges goes word by word.
#include "io/awq_words.h"

#include <algorithm>

#include "io/bit_packing.h"
#include "io/byte_lanes.h"
#include "io/word_columns.h"

namespace nibble {
namespace {

constexpr std::int64_t kInputs = 64;
constexpr std::int64_t kWords = 4;
constexpr std::int64_t kOutputs = 8 * kWords;

/// Row of a block whose code is in the low (0) or high (1) half of byte `byte` of its four words.
constexpr std::int64_t row_of(int byte, int half) { return byte / 4 * 8 + kAwqOrder[2 * (byte % 4) + half]; }

/// `words` and `codes` point to the block's first.
void unpack_block(const std::byte* words, std::int64_t columns, std::uint8_t* codes, std::int64_t pitch) noexcept {
  alignas(64) std::uint8_t lines[kOutputs][kInputs];
  for (std::int64_t k = 0; k < kInputs; k += 16) {
    Bytes16 rows[16];
    for (int i = 0; i < 16; ++i) rows[i] = load_bytes16(words + (k + i) * columns * 4);
    transpose_bytes_16x16(rows);
    for (int byte = 0; byte < 16; ++byte) {
      store_bytes16(lines[row_of(byte, 0)] + k, rows[byte] & 15);
      store_bytes16(lines[row_of(byte, 1)] + k, rows[byte] >> 4);
    }
  }
  for (std::int64_t r = 0; r < kOutputs; ++r) std::memcpy(codes + r * pitch, lines[r], kInputs);
}

void pack_block(const std::uint8_t* codes, std::int64_t pitch, std::uint32_t* words, std::int64_t columns) noexcept {
  alignas(64) std::uint8_t lines[kOutputs][kInputs];
  for (std::int64_t r = 0; r < kOutputs; ++r) std::memcpy(lines[r], codes + r * pitch, kInputs);
  for (std::int64_t k = 0; k < kInputs; k += 16) {
    Bytes16 rows[16];
    for (int byte = 0; byte < 16; ++byte)
      rows[byte] = load_bytes16(lines[row_of(byte, 0)] + k) | load_bytes16(lines[row_of(byte, 1)] + k) << 4;
    transpose_bytes_16x16(rows);
    for (int i = 0; i < 16; ++i) store_bytes16(words + (k + i) * columns, rows[i]);
  }
}

/// Inputs [k, k + 8) of one column of words; `take` of them exist. Outputs are those within [begin, begin + count).
void unpack_word(const WordColumns& words, std::int64_t column, std::int64_t k, std::int64_t take, std::int64_t begin,
                 std::int64_t count, std::int64_t cols, std::uint8_t* codes) noexcept {
  std::uint64_t tile[8] = {};
  for (std::int64_t j = 0; j < take; ++j) tile[j] = spread_nibbles(words.word(k + j, column));
  transpose_8x8(tile);
  for (int i = 0; i < 8; ++i) {
    const std::int64_t row = column * 8 + kAwqOrder[i] - begin;
    if (row >= 0 && row < count) std::memcpy(codes + row * cols + k, &tile[i], static_cast<std::size_t>(take));
  }
}

void pack_word(const std::uint8_t* codes, std::int64_t column, std::int64_t k, std::int64_t take, std::int64_t cols,
               std::uint32_t* words, std::int64_t columns) noexcept {
  std::uint64_t tile[8] = {};
  for (int i = 0; i < 8; ++i)
    std::memcpy(&tile[i], codes + (column * 8 + kAwqOrder[i]) * cols + k, static_cast<std::size_t>(take));
  transpose_8x8(tile);
  for (std::int64_t j = 0; j < take; ++j) words[(k + j) * columns + column] = gather_nibbles(tile[j]);
}

}  // namespace

void unpack_awq_words(const std::byte* words, std::int64_t columns, std::int64_t begin, std::int64_t count,
                      std::int64_t cols, std::uint8_t* codes) noexcept {
  const std::int64_t end = begin + count;
  // Of a line of words only these rows' are wanted: inputs in strips, so that the lines stay in the cache for all rows.
  for (std::int64_t strip = 0; strip < cols; strip += kInputs) {
    const std::int64_t strip_end = std::min(strip + kInputs, cols);
    for (std::int64_t column = begin / 8; column * 8 < end;) {
      const bool whole = column * 8 >= begin && (column + kWords) * 8 <= end && strip_end - strip == kInputs;
      if (whole) {
        unpack_block(words + (strip * columns + column) * 4, columns, codes + (column * 8 - begin) * cols + strip,
                     cols);
        column += kWords;
        continue;
      }
      for (std::int64_t k = strip; k < strip_end; k += 8)
        unpack_word({words, columns}, column, k, std::min<std::int64_t>(8, strip_end - k), begin, count, cols, codes);
      ++column;
    }
  }
}

void pack_awq_words(const std::uint8_t* codes, std::int64_t columns, std::int64_t cols, std::uint32_t* words) noexcept {
  const std::int64_t whole_inputs = cols / kInputs * kInputs;
  const std::int64_t whole_columns = columns / kWords * kWords;
  for (std::int64_t column = 0; column < whole_columns; column += kWords)
    for (std::int64_t k = 0; k < whole_inputs; k += kInputs)
      pack_block(codes + column * 8 * cols + k, cols, words + k * columns + column, columns);
  for (std::int64_t column = 0; column < columns; ++column)
    for (std::int64_t k = column < whole_columns ? whole_inputs : 0; k < cols; k += 8)
      pack_word(codes, column, k, std::min<std::int64_t>(8, cols - k), cols, words, columns);
}

}  // namespace nibble
