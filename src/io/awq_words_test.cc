// AWQ's words against one code at a time: outputs and inputs around the blocks that are moved at once, any range of
// rows.
#include "io/awq_words.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace nibble {
namespace {

TEST(AwqWords, EveryNibbleIsItsOutput) {
  std::mt19937 random(1);
  for (const std::int64_t columns : {1, 3, 4, 9, 17}) {
    for (const std::int64_t cols : {1, 8, 63, 64, 65, 136}) {
      SCOPED_TRACE(::testing::Message() << 8 * columns << " outputs, " << cols << " inputs");
      const std::int64_t rows = 8 * columns;
      std::vector<std::uint8_t> codes(static_cast<std::size_t>(rows * cols));
      std::vector<std::uint32_t> want(static_cast<std::size_t>(cols * columns), 0);
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t k = 0; k < cols; ++k) {
          const std::uint32_t code = random() & 15u;
          codes[static_cast<std::size_t>(r * cols + k)] = static_cast<std::uint8_t>(code);
          want[static_cast<std::size_t>(k * columns + r / 8)] |= code << (4 * kAwqNibble[r % 8]);
        }
      std::vector<std::uint32_t> packed(want.size(), 0xEEEEEEEEu);
      pack_awq_words(codes.data(), columns, cols, packed.data());
      ASSERT_EQ(packed, want);
      for (const std::int64_t begin : {std::int64_t{0}, std::int64_t{5}, rows / 2}) {
        for (const std::int64_t count : {std::int64_t{1}, (rows - begin) / 2, rows - begin}) {
          if (begin + count > rows) continue;
          std::vector<std::uint8_t> back(static_cast<std::size_t>(count * cols), 0xEE);
          unpack_awq_words(reinterpret_cast<const std::byte*>(packed.data()), columns, begin, count, cols, back.data());
          const auto first = codes.begin() + begin * cols;
          ASSERT_TRUE(std::equal(back.begin(), back.end(), first)) << begin << " + " << count;
        }
      }
    }
  }
}

/// The two tables are inverses.
TEST(AwqWords, OrderAndNibble) {
  for (int i = 0; i < 8; ++i) EXPECT_EQ(kAwqNibble[kAwqOrder[i]], i);
}

}  // namespace
}  // namespace nibble
