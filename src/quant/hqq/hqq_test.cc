// HQQ against round-to-nearest in the measure that it lowers, and odd weights.
#include "quant/hqq/hqq.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "quant/rtn/rtn.h"

namespace nibble {
namespace {

constexpr std::int64_t kRows = 24;
constexpr std::int64_t kCols = 160;

std::vector<float> heavy_tailed(unsigned seed) {
  std::mt19937 random(seed);
  std::student_t_distribution<float> distribution(4.0f);
  std::vector<float> out(kRows * kCols);
  for (float& w : out) w = 0.02f * distribution(random);
  return out;
}

std::vector<float> by_hqq(std::vector<float> weights, const QuantScheme& scheme) {
  QuantizedMatrix out;
  quantize_hqq_rows(weights.data(), kRows, kCols, 0, kRows, scheme, {}, out);
  EXPECT_TRUE(out.validate().ok());
  std::vector<float> values(weights.size());
  dequantize(out, values.data());
  return values;
}

std::vector<float> by_rtn(std::vector<float> weights, const QuantScheme& scheme) {
  QuantizedMatrix out;
  quantize_rtn_rows(weights.data(), kRows, kCols, 0, kRows, scheme, {}, out);
  std::vector<float> values(weights.size());
  dequantize(out, values.data());
  return values;
}

double powers(const std::vector<float>& weights, const std::vector<float>& values, std::size_t begin, std::size_t end) {
  double sum = 0;
  for (std::size_t i = begin; i < end; ++i)
    sum += std::pow(std::fabs(static_cast<double>(weights[i]) - static_cast<double>(values[i])), 0.7);
  return sum;
}

/// In the measure that it lowers, of all weights.
TEST(Hqq, LosesLessThanRounding) {
  for (const char* name : {"int4-g64-asym", "int3-g32-asym", "int2-g32-asym", "int8-g16-asym", "int4-channel-asym"}) {
    const QuantScheme integer = parse_scheme(name).value();
    const std::vector<float> weights = heavy_tailed(1);
    const double rtn = powers(weights, by_rtn(weights, integer), 0, weights.size());
    EXPECT_LT(powers(weights, by_hqq(weights, with_real_zeros(integer)), 0, weights.size()), 0.99 * rtn) << name;
    EXPECT_LT(powers(weights, by_hqq(weights, integer), 0, weights.size()), 1.01 * rtn) << name;
  }
}

/// Two weights per group: any range fits them, and the least error is 0.
TEST(Hqq, TwoValuesAreKept) {
  std::vector<float> weights(kRows * kCols);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = i % 2 == 0 ? 0.5f : 2.0f;
  const std::vector<float> values = by_hqq(weights, with_real_zeros(parse_scheme("int2-g32-asym").value()));
  for (std::size_t i = 0; i < weights.size(); ++i) EXPECT_NEAR(values[i], weights[i], 0.002f);
}

/// Integer zero points are codes, so that the range of a group without 0 begins or ends there.
TEST(Hqq, GroupsOfOneSign) {
  const QuantScheme scheme = parse_scheme("int4-g32-asym").value();
  for (const float mean : {0.05f, -0.05f}) {
    std::vector<float> weights = heavy_tailed(4);
    for (float& w : weights) w = mean + 0.2f * std::clamp(w, -0.1f, 0.1f);
    const double rtn = powers(weights, by_rtn(weights, scheme), 0, weights.size());
    EXPECT_LT(powers(weights, by_hqq(weights, scheme), 0, weights.size()), 1.01 * rtn) << mean;
  }
}

TEST(Hqq, OddWeights) {
  const QuantScheme scheme = with_real_zeros(parse_scheme("int4-g32-asym").value());
  EXPECT_EQ(by_hqq(std::vector<float>(kRows * kCols, 0.0f), scheme), std::vector<float>(kRows * kCols, 0.0f));
  for (const float value : {1.0f, -3.0f, 1e-6f}) {
    const std::vector<float> values = by_hqq(std::vector<float>(kRows * kCols, value), scheme);
    EXPECT_NEAR(values[5], value, std::fabs(value) * 0.03f + 1e-7f) << "a group of equal weights";
  }
  std::vector<float> weights = heavy_tailed(2);
  const float largest = 0.02f * 50;
  weights[3] = std::numeric_limits<float>::quiet_NaN();
  weights[4] = std::numeric_limits<float>::infinity();
  const std::vector<float> values = by_hqq(weights, scheme);
  EXPECT_NEAR(values[3], 0.0f, 0.1f);
  EXPECT_GT(values[4], 0.02f);
  EXPECT_LT(values[4], largest);
}

TEST(Hqq, RowsStandAlone) {
  const QuantScheme scheme = parse_scheme("int4-g32-asym").value();
  std::vector<float> weights = heavy_tailed(3);
  QuantizedMatrix floats;
  floats.allocate(QuantScheme::of_float(ElementType::kF32), kRows, kCols, 0, kRows);
  std::memcpy(floats.codes.data(), weights.data(), weights.size() * sizeof(float));
  const MatrixPtr source = quantize_hqq(make_source(floats), scheme, {}).value();
  QuantizedMatrix whole;
  ASSERT_TRUE(source->decode(0, kRows, whole).ok());
  QuantizedMatrix part;
  ASSERT_TRUE(source->decode(7, 5, part).ok());
  EXPECT_TRUE(std::equal(part.codes.begin(), part.codes.end(), whole.codes.begin() + 7 * kCols));
}

TEST(Hqq, RefusesWhatItCannotMake) {
  for (const char* name : {"int4-g64-sym", "nf4-g64", "int4-tensor-asym", "fp8-e4m3-channel", "codebook4-row"}) {
    const Status status = check_hqq_scheme(parse_scheme(name).value());
    ASSERT_FALSE(status.ok()) << name;
    EXPECT_NE(status.error().message.find("hqq cannot make"), std::string::npos) << status.error().message;
  }
}

}  // namespace
}  // namespace nibble
