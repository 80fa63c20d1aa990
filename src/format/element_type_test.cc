// Every 8-bit code and every rounding boundary of the small float formats.
#include "format/element_type.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace nibble {
namespace {

/// Positive codes of an 8-bit float in order: each survives the round trip, midpoints go to the even code.
void check_rounding(float (*decode)(std::uint8_t), std::uint8_t (*encode)(float), int last_finite) {
  for (int code = 0; code <= last_finite; ++code) {
    const auto c = static_cast<std::uint8_t>(code);
    EXPECT_EQ(encode(decode(c)), c);
    EXPECT_EQ(encode(-decode(c)), c | 0x80);
    if (code == last_finite) break;
    const float middle = (decode(c) + decode(static_cast<std::uint8_t>(code + 1))) / 2;
    EXPECT_EQ(encode(middle), (code & 1) == 0 ? code : code + 1) << code;
    EXPECT_EQ(encode(std::nextafter(middle, 0.0f)), code);
    EXPECT_EQ(encode(std::nextafter(middle, 1e9f)), code + 1);
  }
  EXPECT_EQ(encode(std::numeric_limits<float>::infinity()), last_finite);
  EXPECT_EQ(encode(-1e30f), last_finite | 0x80);
  EXPECT_TRUE(std::isnan(decode(encode(std::nanf("")))));
}

TEST(ElementType, E4m3) {
  check_rounding(e4m3_to_f32, f32_to_e4m3, 0x7E);
  EXPECT_EQ(e4m3_to_f32(0x7E), 448.0f);
  EXPECT_EQ(e4m3_to_f32(0x01), 0x1p-9f);
  EXPECT_TRUE(std::isnan(e4m3_to_f32(0x7F)) && std::isnan(e4m3_to_f32(0xFF)));
  EXPECT_EQ(f32_to_e4m3(0.1f), 0x1D);
  EXPECT_EQ(f32_to_e4m3(3.14159265f), 0x45);
  EXPECT_EQ(f32_to_e4m3(17.0f), 0x58);
}

TEST(ElementType, E5m2) {
  check_rounding(e5m2_to_f32, f32_to_e5m2, 0x7B);
  EXPECT_EQ(e5m2_to_f32(0x7B), 57344.0f);
  EXPECT_TRUE(std::isinf(e5m2_to_f32(0x7C)));
  EXPECT_TRUE(std::isnan(e5m2_to_f32(0x7D)));
  EXPECT_EQ(f32_to_e5m2(0.3f), 0x35);
}

TEST(ElementType, E2m1NearestTiesToEven) {
  for (std::uint8_t code = 0; code < 16; ++code) EXPECT_EQ(f32_to_e2m1(e2m1_to_f32(code)), code);
  EXPECT_EQ(f32_to_e2m1(0.25f), 0);
  EXPECT_EQ(f32_to_e2m1(0.75f), 2);
  EXPECT_EQ(f32_to_e2m1(1.25f), 2);
  EXPECT_EQ(f32_to_e2m1(1.75f), 4);
  EXPECT_EQ(f32_to_e2m1(2.5f), 4);
  EXPECT_EQ(f32_to_e2m1(3.5f), 6);
  EXPECT_EQ(f32_to_e2m1(5.0f), 6);
  EXPECT_EQ(f32_to_e2m1(-1e9f), 15);
}

TEST(ElementType, E8m0) {
  for (int code = 0; code < 255; ++code)
    EXPECT_EQ(e8m0_to_f32(static_cast<std::uint8_t>(code)), std::ldexp(1.0f, code - 127));
  for (int code = 1; code < 255; ++code) {
    EXPECT_EQ(f32_to_e8m0_floor(std::ldexp(1.0f, code - 127)), code);
    EXPECT_EQ(f32_to_e8m0_floor(-1.9f * std::ldexp(1.0f, code - 127)), code);
  }
  EXPECT_TRUE(std::isnan(e8m0_to_f32(255)));
}

TEST(ElementType, NamesAndSizesComeFromTheList) {
  for (const ElementTypeInfo& info : element_types()) {
    EXPECT_EQ(&element_info(info.type), &info);
    EXPECT_EQ(element_from_name(info.name), info.type);
    EXPECT_EQ(element_from_safetensors(info.safetensors), info.type);
  }
  EXPECT_EQ(element_bytes(ElementType::kF4, 3), std::nullopt);
  EXPECT_EQ(element_bytes(ElementType::kF32, UINT64_MAX / 8), std::nullopt);
  EXPECT_EQ(element_bytes(ElementType::kF4, 4), 2u);
}

TEST(ElementType, IntegersSaturateAndRoundToEven) {
  EXPECT_EQ(round_to_element(ElementType::kI8, 2.5f), 2.0f);
  EXPECT_EQ(round_to_element(ElementType::kI8, 300.0f), 127.0f);
  EXPECT_EQ(round_to_element(ElementType::kU8, -1.0f), 0.0f);
  EXPECT_EQ(round_to_element(ElementType::kI16, -40000.0f), -32768.0f);
}

}  // namespace
}  // namespace nibble
