// The hub holds every layout (see hub_test.cc): HQQ and Quanto, whose weights are cut into slabs that share bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/family_test_support.h"
#include "io/hqq.h"
#include "io/quanto.h"

namespace nibble {
namespace {

using testing::check_ranges;
using ::testing::HasSubstr;
using testing::MemoryCheckpoint;
using testing::open_one;

// ---- HQQ and Quanto: no vectors; packed here by the published rules ----

/// Codes cut into slabs of rows that share bytes (formats-hf.md 8.4, 8.5).
std::vector<std::byte> pack_slabs(const std::vector<std::uint8_t>& codes, int bits, bool high_first) {
  const std::size_t slabs = 8 / static_cast<std::size_t>(bits);
  const std::size_t slab = codes.size() / slabs;
  std::vector<std::byte> bytes(slab);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const std::size_t s = i / slab;
    bytes[i % slab] |= static_cast<std::byte>(codes[i] << (static_cast<int>(high_first ? slabs - 1 - s : s) * bits));
  }
  return bytes;
}

std::vector<std::byte> bytes_of(ElementType type, const std::vector<float>& values) {
  std::vector<std::byte> bytes(values.size() * static_cast<std::size_t>(element_info(type).bits) / 8);
  encode_elements(type, values.data(), values.size(), bytes.data());
  return bytes;
}

std::vector<std::byte> i64_bytes(std::vector<std::int64_t> values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> i32_bytes(std::int32_t value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> text_bytes(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

TEST(Hub, Hqq) {
  constexpr std::size_t kRows = 24;
  constexpr std::size_t kCols = 20;
  for (const int bits : {1, 2, 3, 4, 5, 8}) {
    for (const int axis : {0, 1}) {
      SCOPED_TRACE(fmt::format("{} bits, axis {}", bits, axis));
      const std::size_t group = axis == 0 ? 8 : 10;
      const std::size_t groups = kRows * kCols / group;
      std::mt19937 random(static_cast<unsigned>(bits));
      std::vector<std::uint8_t> codes(kRows * kCols);
      for (auto& code : codes) code = static_cast<std::uint8_t>(random() & ((1u << bits) - 1u));
      std::vector<float> scale(groups);
      std::vector<float> zero(groups);
      for (std::size_t g = 0; g < groups; ++g)
        scale[g] = static_cast<float>(g + 1) / 64, zero[g] = static_cast<float>(g) / 8;
      MemoryCheckpoint checkpoint;
      std::vector<std::byte> packed;
      if (bits == 3) {  // ten slabs in 32 bits, rows padded to a multiple of ten
        const std::size_t line = axis == 1 ? group : groups;
        const std::size_t slab = (codes.size() / line + 9) / 10 * line;
        packed.resize(slab * 4);
        for (std::size_t i = 0; i < codes.size(); ++i) {
          std::uint32_t word;
          std::memcpy(&word, packed.data() + i % slab * 4, 4);
          word |= static_cast<std::uint32_t>(codes[i]) << (27 - 3 * (i / slab));
          std::memcpy(packed.data() + i % slab * 4, &word, 4);
        }
        checkpoint.add("m.W_q", ElementType::kI32, {static_cast<std::int64_t>(slab)}, packed);
      } else {
        packed = pack_slabs(codes, bits == 5 ? 8 : bits, true);
        checkpoint.add("m.W_q", ElementType::kU8, {static_cast<std::int64_t>(packed.size())}, packed);
      }
      const auto count = static_cast<std::int64_t>(groups);
      checkpoint.add("m.scale", ElementType::kF16, {count, 1}, bytes_of(ElementType::kF16, scale));
      checkpoint.add("m.zero", ElementType::kF32, {count, 1}, bytes_of(ElementType::kF32, zero));
      checkpoint.add("m.shape", ElementType::kI64, {2}, i64_bytes({kRows, kCols}));
      checkpoint.add("m.nbits", ElementType::kI32, {}, i32_bytes(bits));
      if (axis == 1) {  // what is not said is the library's choice
        const std::string packing = bits == 5 ? "8bit_u8" : fmt::format("{}bit_{}", bits, bits == 3 ? "32" : "u8");
        checkpoint.add("m.packing", ElementType::kU8, {static_cast<std::int64_t>(packing.size())}, text_bytes(packing));
      }
      checkpoint.add("m.axis", ElementType::kI32, {}, i32_bytes(axis));
      checkpoint.add("m.group_size", ElementType::kI32, {}, i32_bytes(static_cast<std::int32_t>(group)));
      checkpoint.quantization_config = {{"quant_method", "hqq"}};
      const MatrixPtr matrix = open_one(checkpoint, kHqqFamily);
      ASSERT_NE(matrix, nullptr);
      const std::vector<float> values = check_ranges(*matrix);
      for (std::size_t i = 0; i < values.size(); ++i) {
        const std::size_t g = axis == 1 ? i / group : i % groups;
        ASSERT_EQ(values[i], scale[g] * (static_cast<float>(codes[i]) - zero[g])) << i;
      }
    }
  }
}

/// 8 x 4 codes in groups of 4, of `nbits` in the packing of that name.
Result<std::vector<FamilyModule>> open_packed(MemoryCheckpoint& checkpoint, float nbits, std::string_view packing,
                                              std::vector<std::byte> codes) {
  const auto count = static_cast<std::int64_t>(codes.size());
  checkpoint.add("m.W_q", ElementType::kU8, {count}, std::move(codes));
  checkpoint.add("m.scale", ElementType::kF32, {8, 1}, bytes_of(ElementType::kF32, std::vector<float>(8, 1.0f)));
  checkpoint.add("m.zero", ElementType::kF32, {8, 1}, bytes_of(ElementType::kF32, std::vector<float>(8, 1.0f)));
  checkpoint.add("m.shape", ElementType::kI64, {2}, i64_bytes({8, 4}));
  checkpoint.add("m.group_size", ElementType::kI32, {}, i32_bytes(4));
  checkpoint.add("m.nbits", ElementType::kF32, {}, bytes_of(ElementType::kF32, {nbits}));
  checkpoint.add("m.packing", ElementType::kU8, {static_cast<std::int64_t>(packing.size())}, text_bytes(packing));
  checkpoint.quantization_config = {{"quant_method", "hqq"}};
  return checkpoint.open(kHqqFamily);
}

/// Three values per weight lie in fields of two bits, whether they are called 1.58 bits or, saved again, 1.
TEST(Hub, HqqTernary) {
  std::vector<std::uint8_t> codes(32);
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::uint8_t>(i * i % 3);
  for (const float nbits : {1.58f, 1.0f}) {
    MemoryCheckpoint checkpoint;
    const auto modules = open_packed(checkpoint, nbits, "2bit_u8", pack_slabs(codes, 2, true));
    ASSERT_TRUE(modules.ok()) << modules.error().message;
    const std::vector<float> values = check_ranges(*modules->front().weight);
    for (std::size_t i = 0; i < codes.size(); ++i) EXPECT_EQ(values[i], static_cast<float>(codes[i]) - 1.0f) << i;
  }
}

TEST(Hub, HqqPackingsAreRefusedByName) {
  for (const auto& [nbits, packing, bytes] :
       {std::tuple(4.0f, "4bit_32", 16), {6.0f, "6bit_32", 28}, {4.0f, "8bit_u8", 32}, {7.0f, "8bit_u8", 32}}) {
    MemoryCheckpoint checkpoint;
    const auto modules =
        open_packed(checkpoint, nbits, packing, std::vector<std::byte>(static_cast<std::size_t>(bytes)));
    ASSERT_FALSE(modules.ok()) << packing;
    EXPECT_THAT(modules.error().message, HasSubstr(fmt::format("\"packing\" \"{}\"", packing)));
    EXPECT_THAT(modules.error().message, HasSubstr("module \"m\""));
  }
}

TEST(Hub, Quanto) {
  constexpr std::size_t kRows = 16;
  constexpr std::size_t kCols = 64;
  constexpr std::size_t kGroup = 32;
  for (const int bits : {2, 4}) {
    for (const bool integer_shift : {true, false}) {
      std::mt19937 random(static_cast<unsigned>(bits));
      std::vector<std::uint8_t> codes(kRows * kCols);
      for (auto& code : codes) code = static_cast<std::uint8_t>(random() & ((1u << bits) - 1u));
      constexpr std::size_t kGroups = kRows * kCols / kGroup;
      std::vector<float> scale(kGroups);
      std::vector<float> shift(kGroups);
      for (std::size_t g = 0; g < kGroups; ++g)
        scale[g] = static_cast<float>(g + 1) / 64, shift[g] = static_cast<float>(g % 4);
      MemoryCheckpoint checkpoint;
      auto packed = pack_slabs(codes, bits, false);
      const auto lines = static_cast<std::int64_t>(packed.size() / kGroup);
      const ElementType shift_type = integer_shift ? ElementType::kI8 : ElementType::kF16;
      checkpoint.add("m.weight._data._data", ElementType::kU8, {lines, kGroup}, std::move(packed));
      checkpoint.add("m.weight._scale", ElementType::kF16, {kGroups, 1}, bytes_of(ElementType::kF16, scale));
      checkpoint.add("m.weight._shift", shift_type, {kGroups, 1}, bytes_of(shift_type, shift));
      checkpoint.config = {{"hidden_size", kCols}};
      checkpoint.quantization_config = {{"quant_method", "quanto"}, {"weights", bits == 2 ? "int2" : "int4"}};
      const MatrixPtr matrix = open_one(checkpoint, kQuantoFamily);
      ASSERT_NE(matrix, nullptr);
      const std::vector<float> values = check_ranges(*matrix);
      for (std::size_t i = 0; i < values.size(); ++i) {
        const std::size_t g = i / kGroup;
        const auto code = static_cast<float>(codes[i]);
        ASSERT_EQ(values[i], integer_shift ? scale[g] * (code - shift[g]) : scale[g] * code - shift[g]) << i;
      }
    }
  }
}

}  // namespace
}  // namespace nibble
