// Another grid for the same values: every pair of schemes keeps the bits of every value, or says that it cannot.
#include "tensor/regrid.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <random>

#include "tensor/ggml_schemes.h"

namespace nibble {
namespace {

constexpr std::int64_t kRows = 6;
constexpr std::int64_t kCols = 256;

/// Random codes, finite scales of both signs, zero points within 0 .. 2^bits.
QuantizedMatrix random_matrix(const QuantScheme& scheme, unsigned seed = 11) {
  std::mt19937 random(seed);
  QuantizedMatrix m;
  m.allocate(scheme, kRows, kCols, 0, kRows);
  const unsigned mask = (1u << scheme.code.bits) - 1;
  const std::size_t entries = table_values(scheme.code.table).size();  // ternary digits are 0 to 2
  for (std::uint8_t& code : m.codes)
    code = static_cast<std::uint8_t>(entries > 0 ? random() % entries : random() & mask);
  const auto fill = [&random](const std::optional<PlaneFormat>& format, PlaneData& data) {
    if (!format) return;
    const auto numbers = [&random](ElementType type, std::vector<std::byte>& bytes) {
      const std::size_t size = static_cast<std::size_t>(element_info(type).bits) / 8;
      std::vector<float> values(bytes.size() / size);
      for (float& value : values) value = (static_cast<float>(random() % 4001) - 2000.0f) / 1024.0f + 0.000123f;
      if (type == ElementType::kE8m0)
        for (float& value : values) value = std::ldexp(1.0f, static_cast<int>(random() % 20) - 10);
      encode_elements(type, values.data(), values.size(), bytes.data());
    };
    numbers(format->nested ? format->nested->outer : format->element, format->nested ? data.outer : data.entries);
    if (format->nested)
      for (std::uint8_t& code : data.codes)
        code = static_cast<std::uint8_t>(random() & ((1u << format->nested->code.bits) - 1));
  };
  fill(scheme.scale, m.scale);
  fill(scheme.offset, m.offset);
  for (std::size_t i = 0; i + 1 < m.zero.entries.size(); i += 2) {
    const auto zero = static_cast<std::int16_t>(static_cast<int>(random() % (mask + 2)) - scheme.code.bias);
    std::memcpy(m.zero.entries.data() + i, &zero, 2);
  }
  for (std::int32_t& group : m.group_index)
    group = static_cast<std::int32_t>(random() % static_cast<unsigned>(scheme.scale->grouping.size));
  return m;
}

std::vector<std::uint32_t> value_bits(const QuantizedMatrix& m) {
  std::vector<float> values(static_cast<std::size_t>(m.row_count * m.cols));
  dequantize(m, values.data());
  std::vector<std::uint32_t> bits;
  for (const float value : values) bits.push_back(std::bit_cast<std::uint32_t>(value + 0.0f));  // -0 is 0
  return bits;
}

std::vector<QuantScheme> many_schemes() {
  std::vector<QuantScheme> out;
  for (const char* name : {"int4-g128-sym",
                           "int4-g128-asym",
                           "int3-g64-asym",
                           "int3-channel-sym",
                           "int2-g64-asym",
                           "int7-g32-asym",
                           "int8-channel-sym",
                           "int4-tensor-sym",
                           "int4-flat64-sym",
                           "int4-block2x64-asym",
                           "int5-g96-sym",
                           "int1-g32-sym",
                           "int8-g64-asym",
                           "ternary-g128",
                           "binary-g256",
                           "ternary-g256",
                           "nf4-g64",
                           "nf4-flat64-dq",
                           "fp8-e4m3-channel",
                           "fp8-e4m3-tensor-scale:f32",
                           "int4-g32-sym-scale:bf16",
                           "int4-g32-sym-scale:f32",
                           "int8-g32-sym-scale:f32",
                           "int8-g128-asym-scale:bf16"})
    out.push_back(*parse_scheme(name));
  for (const GgmlScheme& ggml : ggml_schemes())
    if (!ggml.scheme.is_float()) out.push_back(ggml.scheme);
  QuantScheme indexed = *parse_scheme("int4-g64-sym");
  indexed.scale->grouping = Grouping::indexed(4);
  out.push_back(indexed);
  return out;
}

TEST(Regrid, EveryPairKeepsEveryBitOrRefuses) {
  int always = 0;
  int by_data = 0;
  for (const QuantScheme& from : many_schemes()) {
    const QuantizedMatrix matrix = random_matrix(from);
    const std::vector<std::uint32_t> expected = value_bits(matrix);
    for (const QuantScheme& to : many_schemes()) {
      const Regrid possible = can_regrid(from, to, kRows, kCols);
      if (possible == Regrid::kNever) continue;
      QuantizedMatrix moved;
      const Status done = regrid(matrix, to, PlaneRounding::kRefuse, moved);
      if (possible == Regrid::kAlways) {
        ASSERT_TRUE(done.ok()) << to_string(from) << " to " << to_string(to) << ": " << done.error().message;
        ++always;
      } else if (!done.ok()) {
        continue;
      } else {
        ++by_data;
      }
      ASSERT_TRUE(moved.validate().ok()) << to_string(from) << " to " << to_string(to);
      ASSERT_EQ(value_bits(moved), expected) << to_string(from) << " to " << to_string(to);
    }
  }
  EXPECT_GT(always, 150);
  EXPECT_GT(by_data, 5);
}

TEST(Regrid, RangesOfRowsEqualTheWhole) {
  const std::pair<const char*, const char*> pairs[] = {
      {"int4-g128-asym", "q5_0"}, {"int4-flat64-sym", "q4_0"}, {"int4-block2x64-asym", "int5-g32-sym"}};
  for (const auto& [from, to] : pairs) {
    const QuantScheme target = *parse_scheme(to);
    const QuantizedMatrix whole = random_matrix(*parse_scheme(from));
    QuantizedMatrix moved;
    ASSERT_TRUE(regrid(whole, target, PlaneRounding::kRefuse, moved).ok()) << from;
    const std::vector<std::uint32_t> expected = value_bits(moved);
    const MatrixPtr source = regrid_source(make_source(whole), target, PlaneRounding::kRefuse);
    std::vector<std::uint32_t> found;
    for (std::int64_t row = 0; row < kRows; row += 2) {
      QuantizedMatrix part;
      ASSERT_TRUE(source->decode(row, 2, part).ok());
      const auto bits = value_bits(part);
      found.insert(found.end(), bits.begin(), bits.end());
    }
    EXPECT_EQ(found, expected) << from;
  }
}

TEST(Regrid, ZeroPointsThatAreAllTheSameNeedNoWiderCode) {
  QuantizedMatrix matrix = random_matrix(*parse_scheme("int4-g64-asym"));
  const QuantScheme symmetric = *parse_scheme("q4_0");
  ASSERT_EQ(can_regrid(matrix.scheme, symmetric, kRows, kCols), Regrid::kByData);
  QuantizedMatrix moved;
  EXPECT_FALSE(regrid(matrix, symmetric, PlaneRounding::kRefuse, moved).ok());
  const auto eight = static_cast<std::int16_t>(8 - matrix.scheme.code.bias);
  for (std::size_t i = 0; i + 1 < matrix.zero.entries.size(); i += 2)
    std::memcpy(matrix.zero.entries.data() + i, &eight, 2);
  ASSERT_TRUE(regrid(matrix, symmetric, PlaneRounding::kRefuse, moved).ok());
  EXPECT_EQ(moved.codes, matrix.codes);
  EXPECT_EQ(value_bits(moved), value_bits(matrix));
}

TEST(Regrid, NamesTheRowThatDoesNotFit) {
  QuantizedMatrix matrix = random_matrix(*parse_scheme("int4-g64-asym"));
  const std::int16_t zero = 40;
  std::memcpy(matrix.zero.entries.data() + 2 * (2 * 4 + 1), &zero, 2);  // row 2, second group
  std::fill(matrix.codes.begin(), matrix.codes.end(), std::uint8_t{3});
  QuantizedMatrix moved;
  const Status status = regrid(matrix, *parse_scheme("q5_0"), PlaneRounding::kRefuse, moved);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(status.error().message.find("row 2, columns 64"), std::string::npos) << status.error().message;
}

TEST(Regrid, KeepsCodesWhereOnlyPlanesRound) {
  const QuantizedMatrix asymmetric = random_matrix(*parse_scheme("int4-g64-asym"));
  const QuantScheme q4_1 = *parse_scheme("q4_1");
  ASSERT_EQ(can_regrid(asymmetric.scheme, q4_1, kRows, kCols), Regrid::kNever);
  ASSERT_EQ(can_keep_codes(asymmetric.scheme, q4_1, kRows, kCols), Regrid::kAlways);
  QuantizedMatrix moved;
  ASSERT_TRUE(regrid(asymmetric, q4_1, PlaneRounding::kNearest, moved).ok());
  EXPECT_EQ(moved.codes, asymmetric.codes);
  std::vector<float> expected(static_cast<std::size_t>(kRows * kCols));
  std::vector<float> found(expected.size());
  dequantize(asymmetric, expected.data());
  dequantize(moved, found.data());
  // An offset is at most 16 scales of 2, so half a unit of f16 is at most 2^-7 of it.
  for (std::size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], expected[i], 32.0f / 4096.0f) << i;

  const QuantizedMatrix bf16 = random_matrix(*parse_scheme("int4-g32-sym-scale:f32"));
  const QuantScheme q4_0 = *parse_scheme("q4_0");
  EXPECT_FALSE(regrid(bf16, q4_0, PlaneRounding::kRefuse, moved).ok());
  ASSERT_TRUE(regrid(bf16, q4_0, PlaneRounding::kNearest, moved).ok());
  EXPECT_EQ(moved.codes, bf16.codes);
}

TEST(Regrid, RefusesToRoundAScaleAway) {
  QuantizedMatrix matrix = random_matrix(*parse_scheme("int4-g32-sym-scale:f32"));
  const float tiny = 1e-9f;
  std::memcpy(matrix.scale.entries.data() + 4 * 5, &tiny, 4);
  QuantizedMatrix moved;
  const Status status = regrid(matrix, *parse_scheme("q4_0"), PlaneRounding::kNearest, moved);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("the scale 1e-09"), std::string::npos) << status.error().message;
}

}  // namespace
}  // namespace nibble
