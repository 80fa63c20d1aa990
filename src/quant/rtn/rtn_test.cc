// Round-to-nearest over many schemes: error bounds that follow from the grid, rules of the ranges, hostile weights.
#include "quant/rtn/rtn.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "base/half.h"

namespace nibble {
namespace {

std::vector<float> gaussian(std::int64_t count, unsigned seed, float scale = 0.02f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& v : values) v = normal(random);
  return values;
}

std::vector<float> round_trip(std::vector<float> weights, std::int64_t rows, std::int64_t cols, const char* name,
                              const char* range = "full") {
  const QuantScheme scheme = *parse_scheme(name);
  QuantizedMatrix m;
  quantize_rtn_rows(weights.data(), rows, cols, 0, rows, scheme, RtnOptions{*parse_range(range)}, m);
  EXPECT_TRUE(m.validate().ok()) << name << ": " << m.validate().error().message;
  std::vector<float> out(weights.size());
  dequantize(m, out.data());
  return out;
}

double squared_error(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
  return sum;
}

TEST(Rtn, EverySchemeGivesAValidMatrixOfSmallError) {
  struct Case {
    const char* scheme;
    double relative;  ///< bound on |w - q| / |w| for Gaussian weights: about the step over sqrt(12) sigma, doubled
  };
  for (const Case& c : {Case{"int8-channel-sym", 0.02},
                        {"int8-tensor-asym", 0.03},
                        {"int4-g32-sym", 0.2},
                        {"int4-g32-asym", 0.18},
                        {"int4-g37-asym", 0.19},
                        {"int3-g32-sym", 0.4},
                        {"int2-g32-asym", 0.8},
                        {"int1-g8-asym", 1.2},
                        {"ternary-g64", 0.6},
                        {"binary-g64", 0.7},
                        {"nf4-g64", 0.15},
                        {"nf4-flat48", 0.15},
                        {"nf4-flat64-dq", 0.15},
                        {"fp4-g64", 0.2},
                        {"fp8-e4m3-channel", 0.04},
                        {"fp8-e5m2-tensor", 0.08},
                        {"fp8-e4m3-block8x16-scale:f32", 0.04},
                        {"codebook4-row", 0.12},
                        {"codebook4-tensor", 0.12},
                        {"codebook3-row-g32", 0.25},
                        {"codebook2-g64", 0.45},
                        {"bf16", 0.004},
                        {"f16", 0.0005},
                        {"f32", 0.0}}) {
    const std::int64_t rows = 19;
    const std::int64_t cols = 96;
    const std::vector<float> weights = gaussian(rows * cols, 11);
    const std::vector<float> values = round_trip(weights, rows, cols, c.scheme);
    const double relative =
        std::sqrt(squared_error(weights, values) / squared_error(weights, std::vector<float>(weights.size(), 0.0f)));
    EXPECT_LE(relative, c.relative) << c.scheme;
  }
}

/// Within a group every error is at most half a step, but for the one end that symmetric grids lack.
TEST(Rtn, ErrorsAreWithinHalfAStep) {
  const std::vector<float> weights = gaussian(64 * 32, 5);
  const QuantScheme scheme = *parse_scheme("int4-g32-asym-scale:f32");
  std::vector<float> copy = weights;
  QuantizedMatrix m;
  quantize_rtn_rows(copy.data(), 64, 32, 0, 64, scheme, RtnOptions{}, m);
  std::vector<float> values(weights.size());
  dequantize(m, values.data());
  std::vector<float> scales(64);
  decode_plane(*scheme.scale, m.scale, scales);
  for (std::size_t i = 0; i < weights.size(); ++i)
    EXPECT_LE(std::fabs(weights[i] - values[i]), scales[i / 32] * 1.001f);
}

/// Full range: the value of largest magnitude sits on the lowest code and comes back exactly (its scale is a power of
/// two).
TEST(Rtn, FullRangeKeepsTheExtreme) {
  const std::vector<float> weights{0.5f, -0.25f, 0.125f, 0.0625f};
  EXPECT_EQ(round_trip(weights, 1, 4, "int4-g4-sym"), (std::vector<float>{0.5f, -0.25f, 0.125f, 0.0625f}));
  const std::vector<float> mirrored{-0.5f, 0.25f, -0.125f, -0.0625f};
  EXPECT_EQ(round_trip(mirrored, 1, 4, "int4-g4-sym"), mirrored);
}

TEST(Rtn, AbsmaxIsRestrictedAndGptqUsesAllCodes) {
  std::vector<float> weights{7.0f, -7.0f, 1.0f, 3.0f};
  QuantizedMatrix m;
  quantize_rtn_rows(weights.data(), 1, 4, 0, 1, *parse_scheme("int4-g4-sym"), RtnOptions{*parse_range("absmax")}, m);
  EXPECT_EQ(m.codes, (std::vector<std::uint8_t>{15, 1, 9, 11}));
  quantize_rtn_rows(weights.data(), 1, 4, 0, 1, *parse_scheme("int4-g4-sym"), RtnOptions{*parse_range("gptq")}, m);
  EXPECT_EQ(m.codes[1], 0);   // -7 / (14 / 15) = -7.5, to the even -8
  EXPECT_EQ(m.codes[0], 15);  // 7.5 is clipped to 7
}

TEST(Rtn, MseIsNeverWorseThanFull) {
  for (const char* scheme : {"int4-g32-sym", "int3-g32-asym", "int2-g32-sym", "nf4-g64", "fp8-e4m3-channel"}) {
    std::mt19937 random(9);
    std::student_t_distribution<float> heavy(3.0f);
    std::vector<float> weights(16 * 64);
    for (float& v : weights) v = heavy(random);
    EXPECT_LE(squared_error(weights, round_trip(weights, 16, 64, scheme, "mse")),
              squared_error(weights, round_trip(weights, 16, 64, scheme, "full")) * 1.0001)
        << scheme;
  }
}

TEST(Rtn, PercentileClipsOutliers) {
  std::vector<float> weights = gaussian(256, 21, 1.0f);
  weights[100] = 1000.0f;
  std::vector<float> clipped = round_trip(weights, 1, 256, "int4-channel-sym", "percentile:99");
  EXPECT_LT(std::fabs(clipped[100]), 10.0f);
  clipped[100] = weights[100];
  EXPECT_LT(squared_error(weights, clipped), 256.0 * 0.1);
}

/// For {-s, 0, s} the chosen scale is the best of all, by trying every number of non-zero weights.
TEST(Rtn, TernaryScaleIsOptimal) {
  const std::vector<float> weights = gaussian(24, 2, 1.0f);
  const double found = squared_error(weights, round_trip(weights, 1, 24, "ternary-g24-scale:f32"));
  double best = std::numeric_limits<double>::infinity();
  for (double s = 0.0; s < 4.0; s += 0.0005) {
    double error = 0;
    for (const float w : weights)
      error += std::min({std::pow(static_cast<double>(w), 2), std::pow(static_cast<double>(w) - s, 2),
                         std::pow(static_cast<double>(w) + s, 2)});
    best = std::min(best, error);
  }
  EXPECT_LE(found, best + 1e-4);
}

TEST(Rtn, HostileWeightsGiveFiniteMatrices) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const char* scheme :
       {"int4-g4-sym", "int4-g4-asym", "int8-channel-sym", "nf4-g4", "nf4-flat4-dq", "fp8-e4m3-channel",
        "codebook2-row", "codebook2-row-g4", "ternary-g4", "binary-g4", "fp4-g4-scale:f32", "int4-tensor-asym"}) {
    for (const char* range : {"full", "absmax", "gptq", "mse", "percentile:90"}) {
      for (const std::vector<float>& row :
           {std::vector<float>(8, 0.0f), std::vector<float>{nan, 1.0f, -2.0f, 0.5f, nan, nan, 3.0f, 1.0f},
            std::vector<float>{infinity, 1.0f, -infinity, 0.5f, 0, 0, 0, 0}, std::vector<float>(8, nan),
            std::vector<float>{1e-30f, -1e-30f, 1e-38f, 0, 1e-45f, -1e-45f, 0, 0},
            std::vector<float>{3e38f, -3e38f, 1e38f, 0, 1, 2, 3, 4}}) {
        const std::vector<float> values = round_trip(row, 1, 8, scheme, range);
        for (const float v : values) EXPECT_TRUE(std::isfinite(v)) << scheme << " " << range;
        if (row == std::vector<float>(8, 0.0f) && std::strncmp(scheme, "binary", 6) != 0) {
          EXPECT_EQ(values, row) << scheme << " " << range;
        }
      }
    }
  }
}

/// A matrix quantized on demand, in any ranges, is the matrix quantized at once; schemes over the whole matrix
/// included.
TEST(Rtn, SourceGivesTheSameInAnyRange) {
  const std::int64_t rows = 24;
  const std::int64_t cols = 40;
  std::vector<float> weights = gaussian(rows * cols, 31);
  QuantizedMatrix original;
  original.allocate(QuantScheme::of_float(ElementType::kF32), rows, cols, 0, rows);
  std::memcpy(original.codes.data(), weights.data(), original.codes.size());
  ThreadPool pool(2);
  for (const char* name : {"int4-g32-sym", "fp8-e4m3-block8x16", "codebook3-row", "nf4-flat64-dq", "int8-tensor-sym"}) {
    const QuantScheme scheme = *parse_scheme(name);
    const auto source = quantize_rtn(make_source(original), scheme, RtnOptions{}, pool);
    ASSERT_TRUE(source.ok()) << name;
    QuantizedMatrix whole;
    ASSERT_TRUE((*source)->decode(0, rows, whole).ok());
    std::vector<float> expected(weights.size());
    dequantize(whole, expected.data());
    EXPECT_EQ(expected, round_trip(weights, rows, cols, name));
    QuantizedMatrix part;
    ASSERT_TRUE((*source)->decode(8, 8, part).ok());
    std::vector<float> values(8 * cols);
    dequantize(part, values.data());
    EXPECT_EQ(std::memcmp(values.data(), expected.data() + 8 * cols, values.size() * sizeof(float)), 0) << name;
  }
}

/// Scales of scales are those of the whole matrix, whoever chose the scales; weights are coded in any ranges.
TEST(Rtn, DoubleQuantizationInTilesIsThatOfTheWholeMatrix) {
  constexpr std::int64_t kRows = 400;
  constexpr std::int64_t kCols = 1000;  // several tiles
  std::vector<float> weights = gaussian(kRows * kCols, 7);
  weights[12345] = std::numeric_limits<float>::quiet_NaN();
  weights[23456] = -std::numeric_limits<float>::infinity();
  QuantizedMatrix original;
  original.allocate(QuantScheme::of_float(ElementType::kF32), kRows, kCols, 0, kRows);
  std::memcpy(original.codes.data(), weights.data(), original.codes.size());
  for (const char* name : {"nf4-g64-dq", "nf4-flat40-dq", "nf4-flat64-dq", "fp4-channel-dq"}) {
    const QuantScheme scheme = *parse_scheme(name);
    std::vector<float> copy = weights;
    QuantizedMatrix whole;
    quantize_rtn_rows(copy.data(), kRows, kCols, 0, kRows, scheme, RtnOptions{}, whole);
    for (const int threads : {1, 3}) {
      ThreadPool pool(threads);
      const auto source = quantize_rtn(make_source(original), scheme, RtnOptions{}, pool);
      ASSERT_TRUE(source.ok()) << name;
      QuantizedMatrix all;
      ASSERT_TRUE((*source)->decode(0, kRows, all).ok());
      EXPECT_TRUE(all.codes == whole.codes && all.scale == whole.scale) << name;
      QuantizedMatrix part;
      ASSERT_TRUE((*source)->decode(150, 99, part).ok());
      ASSERT_TRUE(part.validate().ok()) << name;
      std::vector<float> values(99 * kCols);
      std::vector<float> expected(kRows * kCols);
      dequantize(part, values.data());
      dequantize(whole, expected.data());
      EXPECT_EQ(std::memcmp(values.data(), expected.data() + 150 * kCols, values.size() * sizeof(float)), 0) << name;
    }
  }
}

TEST(Range, Parses) {
  for (const char* text : {"full", "absmax", "gptq", "mse", "percentile:99.99"}) {
    const auto rule = parse_range(text);
    ASSERT_TRUE(rule.ok()) << text;
    EXPECT_EQ(to_string(*rule), text);
  }
  for (const char* text :
       {"", "max", "percentile:", "percentile:0", "percentile:101", "percentile:x", "percentile:nan"}) {
    const auto rule = parse_range(text);
    ASSERT_FALSE(rule.ok()) << text;
    EXPECT_NE(rule.error().message.find("known"), std::string::npos);
  }
}

TEST(Rtn, SchemesItCannotMakeAreRefusedWithAWayOut) {
  for (const char* name : {"q4_k", "q4_1", "iq2_xs", "nvfp4"}) {
    const auto scheme = parse_scheme(name);
    if (!scheme.ok()) continue;
    const Status status = check_rtn_scheme(*scheme);
    ASSERT_FALSE(status.ok()) << name;
    EXPECT_NE(status.error().message.find("use a scheme"), std::string::npos);
  }
}

}  // namespace
}  // namespace nibble
