// A column's words lie a whole row of words apart. Four columns by four rows of words are turned in registers, which
// gives sixteen bytes of each column's stream; what does not fill such squares goes column by column.
#include "io/word_columns.h"

#include <algorithm>
#include <vector>

#include "io/bit_packing.h"
#include "io/byte_lanes.h"

namespace nibble {
namespace {

/// Codes that are written at once: a cache line of one row.
constexpr std::int64_t kLine = 64;
/// Columns whose words are read beside each other before the next line of codes.
constexpr std::int64_t kTile = 64;

/// Four rows of words of four columns as codes of 4 or 8 bits; `codes` has a row per column.
template <int B>
void unpack_square(const std::byte* words, std::int64_t row_bytes, std::uint8_t* codes, std::int64_t pitch) noexcept {
  Words4 rows[4];
  for (int i = 0; i < 4; ++i) std::memcpy(&rows[i], words + i * row_bytes, 16);
  transpose_words_4x4(rows);
  for (int c = 0; c < 4; ++c) {
    Bytes16 bytes;
    std::memcpy(&bytes, &rows[c], 16);
    if constexpr (B == 8) {
      store_bytes16(codes + c * pitch, bytes);
    } else {
      const Bytes16 low = bytes & 15;
      const Bytes16 high = bytes >> 4;
      store_bytes16(codes + c * pitch, interleave_low(low, high));
      store_bytes16(codes + c * pitch + 16, interleave_high(low, high));
    }
  }
}

/// Lines of codes of columns in fours.
template <int B>
void unpack_squares(const WordColumns& words, std::int64_t first, std::int64_t columns, std::int64_t count,
                    std::uint8_t* codes, std::int64_t pitch) noexcept {
  constexpr std::int64_t kRows = kLine * B / 32;  // of words in a line
  constexpr std::int64_t kSquare = 4 * (32 / B);  // codes of a column
  const std::int64_t row_bytes = words.columns * 4;
  for (std::int64_t tile = 0; tile < columns; tile += kTile) {
    const std::int64_t tile_end = std::min(tile + kTile, columns);
    for (std::int64_t i = 0; i < count; i += kLine) {
      const std::byte* line = words.words + i / kLine * kRows * row_bytes + first * 4;
      for (std::int64_t c = tile; c < tile_end; c += 4)
        for (std::int64_t square = 0; square < kLine / kSquare; ++square)
          unpack_square<B>(line + 4 * square * row_bytes + c * 4, row_bytes, codes + c * pitch + i + square * kSquare,
                           pitch);
    }
  }
}

/// Codes [begin, count) of each column; begin is a multiple of 32.
void unpack_columns(const WordColumns& words, std::int64_t first, std::int64_t columns, int bits, std::int64_t begin,
                    std::int64_t count, std::uint8_t* codes, std::int64_t pitch) noexcept {
  std::uint32_t column[8];  // 32 codes
  for (std::int64_t tile = 0; tile < columns; tile += kTile) {
    const std::int64_t tile_end = std::min(tile + kTile, columns);
    for (std::int64_t i = begin; i < count; i += 32) {
      const auto take = static_cast<std::size_t>(std::min<std::int64_t>(32, count - i));
      const auto left = static_cast<std::int64_t>(packed_word_bytes(take, bits) / 4);
      for (std::int64_t c = tile; c < tile_end; ++c) {
        for (std::int64_t j = 0; j < left; ++j) column[j] = words.word(i / 32 * bits + j, first + c);
        unpack_bits(reinterpret_cast<const std::byte*>(column), bits, take, codes + c * pitch + i);
      }
    }
  }
}

}  // namespace

void WordColumns::unpack(std::int64_t first, std::int64_t column_count, int bits, std::int64_t count,
                         std::uint8_t* codes, std::int64_t pitch) const noexcept {
  const bool squares = bits == 4 || bits == 8;
  const std::int64_t whole_columns = squares ? column_count / 4 * 4 : 0;
  const std::int64_t whole_count = squares ? count / kLine * kLine : 0;
  if (bits == 4) unpack_squares<4>(*this, first, whole_columns, whole_count, codes, pitch);
  if (bits == 8) unpack_squares<8>(*this, first, whole_columns, whole_count, codes, pitch);
  unpack_columns(*this, first, whole_columns, bits, whole_count, count, codes, pitch);
  unpack_columns(*this, first + whole_columns, column_count - whole_columns, bits, 0, count,
                 codes + whole_columns * pitch, pitch);
}

void pack_word_columns(const std::uint8_t* codes, std::int64_t columns, int bits, std::int64_t count,
                       std::uint32_t* words) {
  constexpr std::int64_t kColumns = 16;  // as many words fill a cache line
  const auto rows = static_cast<std::int64_t>(packed_word_bytes(static_cast<std::uint64_t>(count), bits) / 4);
  const std::int64_t pitch = rows + kColumns;  // not a power of two: the streams would share a set of cache lines
  std::vector<std::uint32_t> streams(static_cast<std::size_t>(kColumns * pitch));
  for (std::int64_t first = 0; first < columns; first += kColumns) {
    const std::int64_t taken = std::min(kColumns, columns - first);
    for (std::int64_t j = 0; j < taken; ++j)
      pack_bits(codes + (first + j) * count, bits, static_cast<std::size_t>(count),
                reinterpret_cast<std::byte*>(streams.data() + j * pitch));
    const std::int64_t whole_rows = taken == kColumns ? rows / 4 * 4 : 0;
    for (std::int64_t row = 0; row < whole_rows; row += 4) {
      for (std::int64_t j = 0; j < kColumns; j += 4) {
        Words4 square[4];
        for (int i = 0; i < 4; ++i) std::memcpy(&square[i], streams.data() + (j + i) * pitch + row, 16);
        transpose_words_4x4(square);
        for (int i = 0; i < 4; ++i) std::memcpy(words + (row + i) * columns + first + j, &square[i], 16);
      }
    }
    for (std::int64_t row = whole_rows; row < rows; ++row)
      for (std::int64_t j = 0; j < taken; ++j)
        words[row * columns + first + j] = streams[static_cast<std::size_t>(j * pitch + row)];
  }
}

}  // namespace nibble
