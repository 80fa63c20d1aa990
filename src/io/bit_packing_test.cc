// Bit streams against a reader of single bits, at every width, length and start; nothing is read or written past the
// end.
#include "io/bit_packing.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace nibble {
namespace {

std::vector<std::uint8_t> random_codes(std::size_t count, int bits, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::uint8_t> codes(count);
  for (auto& code : codes) code = static_cast<std::uint8_t>(random() & ((1u << bits) - 1u));
  return codes;
}

unsigned bit_at(const std::vector<std::byte>& bytes, std::size_t bit) {
  return std::to_integer<unsigned>(bytes[bit / 8] >> (bit % 8)) & 1u;
}

TEST(BitPacking, CodeIsAtItsBits) {
  for (int bits = 1; bits <= 8; ++bits) {
    for (std::size_t count = 0; count < 70; ++count) {
      const auto codes = random_codes(count, bits, static_cast<unsigned>(count));
      // Exactly as many bytes as the stream has, so that a sanitizer sees any access beyond.
      std::vector<std::byte> stream(packed_bytes(count, bits));
      ASSERT_EQ(stream.size(), (count * static_cast<std::size_t>(bits) + 7) / 8);
      pack_bits(codes.data(), bits, count, stream.data());
      for (std::size_t i = 0; i < stream.size() * 8; ++i) {
        const std::size_t code = i / static_cast<std::size_t>(bits);
        const unsigned want = code < count ? (codes[code] >> (i % static_cast<std::size_t>(bits))) & 1u : 0u;
        ASSERT_EQ(bit_at(stream, i), want) << bits << " bits, " << count << " codes, bit " << i;
      }
      std::vector<std::uint8_t> back(count);
      unpack_bits(stream.data(), bits, count, back.data());
      ASSERT_EQ(back, codes);
    }
  }
}

TEST(BitPacking, PublishedWords) {  // 32 codes (5 i + 3) mod 8 in 3 bits
  std::vector<std::uint8_t> codes(32);
  for (std::size_t i = 0; i < 32; ++i) codes[i] = static_cast<std::uint8_t>((5 * i + 3) % 8);
  std::uint32_t words[3];
  pack_bits(codes.data(), 3, 32, reinterpret_cast<std::byte*>(words));
  EXPECT_EQ(words[0], 0x43C67543u);
  EXPECT_EQ(words[1], 0x7543C675u);
  EXPECT_EQ(words[2], 0xC67543C6u);
  const std::uint32_t padded[4] = {0x03C67543, 0x150F19D5, 0x27543C67, 0x00000031};
  std::vector<std::uint8_t> back(32);
  unpack_word_fields(reinterpret_cast<const std::byte*>(padded), 3, 32, back.data());
  EXPECT_EQ(back, codes);
}

TEST(BitPacking, HighNibblesFromAnyStart) {
  const auto codes = random_codes(41, 4, 3);
  std::vector<std::byte> bytes(21);
  for (std::size_t i = 0; i < codes.size(); ++i)
    bytes[i / 2] |= static_cast<std::byte>(codes[i] << (i % 2 == 0 ? 4 : 0));
  for (std::size_t first = 0; first < codes.size(); ++first) {
    for (std::size_t count = 0; first + count <= codes.size(); ++count) {
      std::vector<std::uint8_t> out(count);
      unpack_high_nibbles(bytes.data(), first, count, out.data());
      ASSERT_TRUE(std::equal(out.begin(), out.end(), codes.begin() + static_cast<std::ptrdiff_t>(first)));
    }
  }
  std::vector<std::byte> packed(bytes.size());
  pack_high_nibbles(codes.data(), codes.size(), packed.data());
  EXPECT_EQ(packed, bytes);
}

TEST(BitPacking, TransposeAndNibbles) {
  std::uint64_t words[8];
  for (std::uint64_t j = 0; j < 8; ++j) {
    words[j] = 0;
    for (std::uint64_t i = 0; i < 8; ++i) words[j] |= (8 * j + i) << (8 * i);
  }
  transpose_8x8(words);
  for (std::uint64_t j = 0; j < 8; ++j)
    for (std::uint64_t i = 0; i < 8; ++i) EXPECT_EQ(words[j] >> (8 * i) & 255u, 8 * i + j);
  EXPECT_EQ(spread_nibbles(0x87654321u), 0x0807060504030201u);
  EXPECT_EQ(gather_nibbles(0x0807060504030201u), 0x87654321u);
}

}  // namespace
}  // namespace nibble
