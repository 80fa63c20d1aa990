// Scales stored many at a time against scales stored alone.
#include "quant/stored_scale.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <random>

namespace nibble {
namespace {

constexpr ElementType kTypes[] = {ElementType::kF16, ElementType::kBf16, ElementType::kF32, ElementType::kE4m3};

/// Of all sizes, those that round to zero and to infinity among them.
std::vector<float> scales() {
  std::mt19937 random(1);
  std::vector<float> out = {1e-9f, -1e-9f, 0x1p-25f, 65504.0f, 65520.0f, -65520.0f, 3e38f, -3e38f, 1e-45f};
  for (int i = 0; i < 1000; ++i)
    out.push_back(std::ldexp(static_cast<float>(random() % 4096) - 2048.5f, static_cast<int>(random() % 50) - 35));
  return out;
}

TEST(StoredScales, AreThoseStoredAlone) {
  for (const ElementType type : kTypes) {
    std::vector<float> together = scales();
    store_scales(type, together);
    for (std::size_t i = 0; i < together.size(); ++i) {
      const float alone = stored_scale(type, scales()[i]);
      EXPECT_EQ(std::bit_cast<std::uint32_t>(together[i]), std::bit_cast<std::uint32_t>(alone)) << scales()[i];
      EXPECT_TRUE(together[i] != 0.0f && std::isfinite(together[i])) << scales()[i];
    }
  }
}

TEST(StoredScales, HaveTheBytesOfSingleEntries) {
  for (const ElementType type : kTypes) {
    std::vector<float> stored = scales();
    store_scales(type, stored);
    std::vector<std::byte> together(stored.size() * 4), alone(stored.size() * 4);
    store_entries(type, stored, together.data());
    for (std::size_t i = 0; i < stored.size(); ++i) store_entry(type, stored[i], alone, static_cast<std::int64_t>(i));
    EXPECT_EQ(together, alone);
  }
}

}  // namespace
}  // namespace nibble
