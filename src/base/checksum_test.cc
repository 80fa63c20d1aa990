#include "base/checksum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

namespace nibble {
namespace {

TEST(Checksum, SeesEveryFlippedBitAndEveryLength) {
  std::vector<std::byte> bytes(333);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 37);
  std::set<std::uint64_t> seen;
  for (std::size_t size = 0; size <= bytes.size(); ++size) seen.insert(checksum64(std::span(bytes).first(size)));
  EXPECT_EQ(seen.size(), bytes.size() + 1);
  const std::uint64_t sum = checksum64(bytes);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      bytes[i] ^= static_cast<std::byte>(1 << bit);
      EXPECT_NE(checksum64(bytes), sum);
      bytes[i] ^= static_cast<std::byte>(1 << bit);
    }
}

TEST(Checksum, SeesTwoFlipsInALaneAndSwappedWords) {
  std::vector<std::byte> bytes(1024);
  std::set<std::uint64_t> seen{checksum64(bytes)};
  std::size_t cases = 1;
  for (std::size_t word = 64; word < bytes.size(); word += 64)
    for (int bit = 0; bit < 8; ++bit) {
      bytes[7] = bytes[word + 7] = static_cast<std::byte>(1 << bit);  // the highest byte of words of the same lane
      seen.insert(checksum64(bytes));
      bytes[7] = bytes[word + 7] = std::byte{0};
      ++cases;
    }
  EXPECT_EQ(seen.size(), cases);
  std::vector<std::byte> swapped(256);
  for (std::size_t i = 0; i < 64; ++i) swapped[i] = std::byte{1};
  const std::uint64_t first = checksum64(swapped);
  std::rotate(swapped.begin(), swapped.begin() + 64, swapped.end());
  EXPECT_NE(checksum64(swapped), first);
}

TEST(Checksum, IsTheSameEverywhere) {
  // Files keep it: another value here is another format.
  EXPECT_EQ(checksum64({}), 4343187990843916318u);
  const std::vector<std::byte> bytes(100, std::byte{0xA5});
  EXPECT_EQ(checksum64(bytes), 11362540727865881413u);
}

}  // namespace
}  // namespace nibble
