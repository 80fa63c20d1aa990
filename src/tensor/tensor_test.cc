// Tests of the hub: scheme names, sizes, groupings, dequantization by hand-computed examples, slices of owned matrices.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "base/half.h"
#include "tensor/quantized_matrix.h"

namespace nibble {
namespace {

TEST(SchemeName, CanonicalNamesSurviveTheRoundTrip) {
  for (const char* name : {"int4-g128-sym",
                           "int4-g32-asym",
                           "int8-channel-sym",
                           "int2-tensor-sym",
                           "ternary-g32",
                           "binary-channel",
                           "nf4-g64",
                           "nf4-flat64-dq",
                           "nf4-flat64-scale:f32",
                           "fp4-g64",
                           "fp8-e4m3-channel+dyn-token",
                           "fp8-e5m2-tensor",
                           "fp8-e4m3-block128x128-scale:f32",
                           "codebook4-row",
                           "codebook4-row-g64",
                           "codebook3-tensor-scale:f32",
                           "f32",
                           "bf16",
                           "int8-channel-sym+dyn-token",

                           "int8-tensor-asym-scale:bf16+static"}) {
    const auto scheme = parse_scheme(name);
    ASSERT_TRUE(scheme.ok()) << name << ": " << scheme.error().message;
    EXPECT_EQ(to_string(*scheme), name);
  }
  EXPECT_EQ(to_string(*parse_scheme("int4-g128")), "int4-g128-sym");
  EXPECT_EQ(to_string(*parse_scheme("int8-row")), "int8-channel-sym");
}

TEST(SchemeName, RefusesNonsenseAndSaysWhatIsKnown) {
  for (const char* name :
       {"", "int9-g32", "int4", "int4-", "int4-g0", "int4-g-1", "q99", "int4-g32-asymm", "nf4-g64-asym", "codebook4",
        "int4-g32+dyn", "int4-block4", "int4-g99999999999999999999", "int4-g32-scale:i8", "codebook9-row"}) {
    const auto scheme = parse_scheme(name);
    ASSERT_FALSE(scheme.ok()) << name;
    EXPECT_NE(scheme.error().message.find("known"), std::string::npos) << scheme.error().message;
  }
}

TEST(Scheme, StoredBits) {
  EXPECT_DOUBLE_EQ(parse_scheme("int4-g32-sym")->bits_per_weight(64, 128), 4.5);
  EXPECT_DOUBLE_EQ(parse_scheme("int4-g32-asym")->bits_per_weight(64, 128), 4.625);
  EXPECT_DOUBLE_EQ(parse_scheme("nf4-g64")->bits_per_weight(64, 128), 4.25);
  EXPECT_EQ(parse_scheme("codebook4-row")->stored_bits(2, 100), 2 * (100 * 4 + 16 * 16));
  EXPECT_EQ(parse_scheme("fp8-e4m3-block128x128-scale:f32")->stored_bits(130, 130), 130 * 130 * 8 + 4 * 32);
}

QuantizedMatrix random_matrix(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols, unsigned seed) {
  std::mt19937 random(seed);
  QuantizedMatrix m;
  m.allocate(scheme, rows, cols, 0, rows);
  for (auto& code : m.codes) code = static_cast<std::uint8_t>(random() & ((1u << scheme.code.bits) - 1u));
  const auto fill = [&](const PlaneFormat& format, PlaneData& data) {
    for (auto& code : data.codes) code = static_cast<std::uint8_t>(random() & ((1u << format.nested->code.bits) - 1u));
    const auto floats = [&](ElementType type, std::vector<std::byte>& bytes) {
      const std::size_t size = static_cast<std::size_t>(element_info(type).bits) / 8;
      for (std::size_t i = 0; i < bytes.size(); i += size) {
        const float value = static_cast<float>(random() % 1000) / 100.0f - 3.0f;
        encode_elements(type, &value, 1, bytes.data() + i);
      }
    };
    floats(format.element, data.entries);
    if (format.nested) floats(format.nested->outer, data.outer);
    data.constant = 0.25f;
  };
  if (scheme.scale) fill(*scheme.scale, m.scale);
  if (scheme.zero_kind != ZeroKind::kNone) fill(scheme.zero, m.zero);
  if (scheme.offset) fill(*scheme.offset, m.offset);
  for (auto& value : m.tables) value = static_cast<float>(random() % 100);
  for (auto& group : m.group_index)
    group = static_cast<std::int32_t>(random() % static_cast<unsigned>(scheme.scale->grouping.size));
  return m;
}

/// Any range of rows of an owned matrix dequantizes to the same values as the whole, for every kind of grouping.
TEST(QuantizedMatrix, SlicesEqualTheWhole) {
  std::vector<QuantScheme> schemes;
  for (const char* name :
       {"int4-g8-sym", "int3-g7-asym", "int8-channel-asym", "int5-tensor-sym", "nf4-flat9-dq", "fp4-flat20-scale:f32",
        "fp8-e4m3-block2x5-scale:f32", "codebook3-row-g4", "codebook2-g6", "codebook2-tensor"})
    schemes.push_back(*parse_scheme(name));
  schemes.push_back(*parse_scheme("int4-g8-sym"));
  schemes.back().scale->grouping = Grouping::indexed(3);
  schemes.push_back(*parse_scheme("int4-g8-sym"));
  schemes.back().scale->grouping = {Grouping::Kind::kStrided, 7, 1};
  schemes.push_back(*parse_scheme("int4-g8-sym"));
  schemes.back().offset = PlaneFormat{Grouping::columns(4), ElementType::kF16, false,
                                      NestedFormat{CodeFormat::integer(6, 0), ElementType::kF16, 8, false, false}};
  constexpr std::int64_t kRows = 14;
  constexpr std::int64_t kCols = 21;
  for (const QuantScheme& scheme : schemes) {
    const QuantizedMatrix whole = random_matrix(scheme, kRows, kCols, 7);
    ASSERT_TRUE(whole.validate().ok()) << to_string(scheme) << whole.validate().error().message;
    std::vector<float> expected(kRows * kCols);
    dequantize(whole, expected.data());
    const MatrixPtr source = make_source(whole);
    const std::int64_t step = source->row_step();
    for (std::int64_t begin = 0; begin < kRows; begin += step) {
      const std::int64_t count = std::min(step * 3, kRows - begin);
      QuantizedMatrix part;
      ASSERT_TRUE(source->decode(begin, count, part).ok());
      ASSERT_TRUE(part.validate().ok()) << to_string(scheme);
      std::vector<float> values(static_cast<std::size_t>(count * kCols));
      dequantize(part, values.data());
      EXPECT_EQ(std::memcmp(values.data(), expected.data() + begin * kCols, values.size() * sizeof(float)), 0)
          << to_string(scheme);
    }
  }
}

/// A worked example: nested scales under a half, nested offsets, computed in the order the header states.
TEST(QuantizedMatrix, NestedPlanesInTheStatedOrder) {
  QuantScheme scheme = *parse_scheme("int4-g2-sym");
  scheme.code.bias = 0;
  scheme.scale->nested = NestedFormat{CodeFormat::integer(6, 0), ElementType::kF16, 2, false, false};
  scheme.offset = scheme.scale;
  QuantizedMatrix m;
  m.allocate(scheme, 1, 4, 0, 1);
  m.codes = {1, 2, 3, 15};
  m.scale.codes = {3, 63};
  m.offset.codes = {5, 7};
  const float d = 0.1f;
  const float dmin = -0.3f;
  encode_elements(ElementType::kF16, &d, 1, m.scale.outer.data());
  encode_elements(ElementType::kF16, &dmin, 1, m.offset.outer.data());
  std::array<float, 4> out{};
  dequantize(m, out.data());
  const float dh = f16_to_f32(f32_to_f16(d));
  const float mh = f16_to_f32(f32_to_f16(dmin));
  EXPECT_EQ(out[1], (dh * 3.0f) * 2.0f + mh * 5.0f);
  EXPECT_EQ(out[3], (dh * 63.0f) * 15.0f + mh * 7.0f);
}

TEST(QuantizedMatrix, ValidateRefusesCodesAndIndicesOutOfRange) {
  QuantizedMatrix m = random_matrix(*parse_scheme("int4-g8-sym"), 2, 8, 1);
  m.codes[3] = 16;
  EXPECT_FALSE(m.validate().ok());
  QuantScheme indexed = *parse_scheme("int4-g8-sym");
  indexed.scale->grouping = Grouping::indexed(2);
  QuantizedMatrix with_index = random_matrix(indexed, 2, 8, 1);
  with_index.group_index[1] = 2;
  EXPECT_FALSE(with_index.validate().ok());
  with_index.group_index[1] = -1;
  EXPECT_FALSE(with_index.validate().ok());
}

}  // namespace
}  // namespace nibble
