// Matrices of words against streams that are packed column by column: every width, counts and columns around the
// squares and lines that are moved at once, any first column; nothing is read or written beyond.
#include "io/word_columns.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "io/bit_packing.h"

namespace nibble {
namespace {

TEST(WordColumns, AColumnIsAStream) {
  std::mt19937 random(1);
  for (int bits = 1; bits <= 8; ++bits) {
    for (const std::int64_t count : {1, 31, 32, 63, 64, 96, 160}) {
      for (const std::int64_t columns : {1, 4, 7, 16, 21, 70}) {
        SCOPED_TRACE(::testing::Message() << bits << " bits, " << count << " codes, " << columns << " columns");
        const auto rows = static_cast<std::int64_t>(packed_word_bytes(static_cast<std::uint64_t>(count), bits) / 4);
        std::vector<std::uint8_t> codes(static_cast<std::size_t>(columns * count));
        for (auto& code : codes) code = static_cast<std::uint8_t>(random() & ((1u << bits) - 1u));
        std::vector<std::uint32_t> want(static_cast<std::size_t>(rows * columns));
        for (std::int64_t c = 0; c < columns; ++c) {
          std::vector<std::uint32_t> stream(static_cast<std::size_t>(rows), 0);
          pack_bits(codes.data() + c * count, bits, static_cast<std::size_t>(count),
                    reinterpret_cast<std::byte*>(stream.data()));
          for (std::int64_t r = 0; r < rows; ++r)
            want[static_cast<std::size_t>(r * columns + c)] = stream[static_cast<std::size_t>(r)];
        }
        std::vector<std::uint32_t> packed(want.size(), 0xEEEEEEEEu);
        pack_word_columns(codes.data(), columns, bits, count, packed.data());
        ASSERT_EQ(packed, want);
        const WordColumns words{reinterpret_cast<const std::byte*>(packed.data()), columns};
        const std::int64_t pitch = count + 3;
        for (const std::int64_t first : {std::int64_t{0}, columns / 3}) {
          const std::int64_t taken = columns - first;
          std::vector<std::uint8_t> back(static_cast<std::size_t>(taken * pitch), 0xEE);
          words.unpack(first, taken, bits, count, back.data(), pitch);
          for (std::int64_t c = 0; c < taken; ++c) {
            for (std::int64_t i = 0; i < count; ++i) {
              const std::uint8_t code = codes[static_cast<std::size_t>((first + c) * count + i)];
              ASSERT_EQ(back[static_cast<std::size_t>(c * pitch + i)], code);
              ASSERT_EQ(words.code_at(first + c, i * bits, bits), code);
            }
            for (std::int64_t i = count; i < pitch; ++i) ASSERT_EQ(back[static_cast<std::size_t>(c * pitch + i)], 0xEE);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace nibble
