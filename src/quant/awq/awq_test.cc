// The pieces of AWQ against their definitions in float64.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "quant/awq/clipping.h"
#include "quant/awq/scale_search.h"
#include "quant/output_error.h"
#include "quant/rtn/rtn.h"

namespace nibble {
namespace {

/// Weights, and inputs of which a few channels are much larger than the others.
struct Layer {
  Layer(std::int64_t rows, std::int64_t cols, unsigned seed) : gram(cols), weights{rows, cols, {}, 0}, pool(2) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (std::int64_t i = 0; i < rows * cols; ++i) weights.values.push_back(normal(random));
    std::vector<float> x(static_cast<std::size_t>(300 * cols));
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto c = static_cast<std::int64_t>(i) % cols;
      const float before = c > 0 ? x[i - 1] : 0.0f;
      x[i] = (normal(random) + 0.5f * before) * (c % 13 == 5 ? 20.0f : 1.0f);
    }
    gram.add(x, pool);
    point.linears = {0};
    point.channels = cols;
    point.head_dim = cols;
  }
  double h(std::int64_t i, std::int64_t j) const {
    return gram.sums[static_cast<std::size_t>(std::min(i, j) * gram.cols + std::max(i, j))];
  }
  /// tr(E H E^T)
  double loss(const std::vector<float>& e, std::int64_t from, std::int64_t to) const {
    double sum = 0;
    for (std::int64_t r = 0; r < weights.rows; ++r)
      for (std::int64_t i = from; i < to; ++i)
        for (std::int64_t j = from; j < to; ++j)
          sum += static_cast<double>(e[at(r, i)]) * h(i, j) * static_cast<double>(e[at(r, j)]);
    return sum;
  }
  double loss(const std::vector<float>& e) const { return loss(e, 0, gram.cols); }
  std::size_t at(std::int64_t r, std::int64_t c) const { return static_cast<std::size_t>(r * gram.cols + c); }

  InputGram gram;
  FloatMatrix weights;
  FoldPoint point;
  ThreadPool pool;
};

std::vector<float> dequantized(const QuantizedMatrix& matrix) {
  std::vector<float> out(static_cast<std::size_t>(matrix.rows * matrix.cols));
  dequantize(matrix, out.data());
  return out;
}

QuantizedMatrix by_rtn(const FloatMatrix& weights, const QuantScheme& scheme) {
  QuantizedMatrix out;
  std::vector<float> values = weights.values;
  quantize_rtn_rows(values.data(), weights.rows, weights.cols, 0, weights.rows, scheme, {}, out);
  return out;
}

std::vector<float> difference(const FloatMatrix& weights, const QuantizedMatrix& quantized) {
  std::vector<float> e = dequantized(quantized);
  for (std::size_t i = 0; i < e.size(); ++i) e[i] = weights.values[i] - e[i];
  return e;
}

const char* const kSchemes[] = {"int4-g32-asym",    "int4-g32-sym",      "int3-g16-asym",           "int2-g16-sym",
                                "int8-channel-sym", "int5-channel-asym", "int4-g32-asym-scale:f32", "int6-g48-sym"};

TEST(Awq, QuadraticFormIsWhatItSays) {
  for (const std::int64_t cols : {1, 5, 16, 40, 67}) {
    const Layer layer(1, cols, 1);
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    std::vector<float> lanes(static_cast<std::size_t>(cols * kernel::kFeedbackLanes));
    for (float& e : lanes) e = normal(random);
    std::vector<float> factors(static_cast<std::size_t>(cols));
    for (float& factor : factors) factor = std::exp(normal(random));
    for (const std::int64_t from : {std::int64_t{0}, cols / 3}) {
      double got[kernel::kFeedbackLanes];
      QuadraticForm(layer.gram, from, cols, 0.5, factors).evaluate(lanes.data(), got);
      for (std::int64_t lane = 0; lane < kernel::kFeedbackLanes; ++lane) {
        double expected = 0;
        double size = 0;
        for (std::int64_t i = from; i < cols; ++i)
          for (std::int64_t j = from; j < cols; ++j) {
            const auto e = [&](std::int64_t c) {
              return static_cast<double>(lanes[static_cast<std::size_t>((c - from) * kernel::kFeedbackLanes + lane)]) *
                     static_cast<double>(factors[static_cast<std::size_t>(c)]);
            };
            expected += 0.5 * e(i) * layer.h(i, j) * e(j);
            size += std::fabs(0.5 * e(i) * layer.h(i, j) * e(j));
          }
        EXPECT_NEAR(got[lane], expected, 1e-5 * size);
      }
    }
  }
}

TEST(Awq, WithoutScalesItIsRoundToNearest) {
  for (const char* name : kSchemes) {
    SCOPED_TRACE(name);
    Layer layer(37, 96, 3);
    const QuantScheme scheme = parse_scheme(name).value();
    const QuantizedMatrix rtn = by_rtn(layer.weights, scheme);
    const QuantizedMatrix plain = quantize_clipped(layer.weights, scheme, {}, layer.pool);
    EXPECT_EQ(plain.codes, rtn.codes);
    EXPECT_EQ(plain.scale, rtn.scale);
    EXPECT_EQ(plain.zero, rtn.zero);
    const double expected = layer.loss(difference(layer.weights, rtn));
    const QuadraticForm h(layer.gram, 0, 96, 1.0);
    const std::vector<std::vector<float>> ones{std::vector<float>(96, 1.0f)};
    EXPECT_NEAR(rounding_losses({&layer.weights, 1}, h, scheme, ones, layer.pool)[0], expected, 1e-4 * expected);
  }
}

TEST(Awq, LossesAreThoseOfTheScaledMatrix) {
  Layer layer(21, 96, 4);
  const QuantScheme scheme = parse_scheme("int4-g32-asym").value();
  const ChannelSizes sizes = channel_sizes(layer.point, layer.gram, {&layer.weights, 1}, 32, layer.pool);
  const std::vector<std::vector<float>> scales = candidate_scales(sizes);
  ASSERT_EQ(scales.size(), 41u);
  const QuadraticForm h(layer.gram, 0, 96, 1.0);
  const std::vector<double> losses = rounding_losses({&layer.weights, 1}, h, scheme, scales, layer.pool);
  double best = losses[0];
  for (std::size_t i = 0; i < scales.size(); ++i) {
    FloatMatrix scaled = layer.weights;
    for (std::size_t k = 0; k < scaled.values.size(); ++k) scaled.values[k] *= scales[i][k % 96];
    std::vector<float> e = dequantized(by_rtn(scaled, scheme));
    for (std::size_t k = 0; k < e.size(); ++k) e[k] = e[k] / scales[i][k % 96] - layer.weights.values[k];
    EXPECT_NEAR(losses[i], layer.loss(e), 1e-3 * losses[i]) << i;
    best = std::min(best, losses[i]);
  }
  EXPECT_LT(best, 0.8 * losses[0]) << "channels that matter more are there to be found";
}

TEST(Awq, CandidateScales) {
  ChannelSizes sizes;
  sizes.input = {1.0, 4.0, 0.0, 16.0, std::numeric_limits<double>::quiet_NaN()};
  sizes.weight = {0.5, 0.5, 0.5, 0.0, 0.5};
  const std::vector<std::vector<float>> scales = candidate_scales(sizes);
  EXPECT_EQ(scales[0], std::vector<float>(5, 1.0f));
  // The last plain ratio is 1: the input's own sizes, around 1.
  EXPECT_EQ(scales[39], (std::vector<float>{0.5f, 2.0f, 1.0f, 1.0f, 1.0f}));
  for (const std::vector<float>& candidate : scales) {
    EXPECT_EQ(candidate[2], 1.0f) << "no token used the channel";
    EXPECT_EQ(candidate[3], 1.0f) << "its weights are 0";
    EXPECT_EQ(candidate[4], 1.0f) << "not a number";
  }
}

/// Channels of grouped queries: columns (head, d) of o come from row (head / heads_per_channel, d) of v.
TEST(Awq, SharedChannelsAreAveraged) {
  Layer layer(8, 16, 5);
  layer.point.channels = 8;
  layer.point.head_dim = 4;
  layer.point.heads_per_channel = 2;
  const ChannelSizes sizes = channel_sizes(layer.point, layer.gram, {&layer.weights, 1}, 16, layer.pool);
  for (std::size_t kv = 0; kv < 2; ++kv)
    for (std::size_t d = 0; d < 4; ++d) {
      const double first = layer.gram.abs_sums[kv * 8 + d];
      const double second = layer.gram.abs_sums[kv * 8 + 4 + d];
      EXPECT_NEAR(sizes.input[kv * 4 + d], (first + second) / 2 / 300, 1e-9);
    }
}

/// The error of each group's own part never grows, and falls somewhere.
TEST(Awq, ClippingLowersTheErrorOfGroups) {
  for (const char* name : kSchemes) {
    SCOPED_TRACE(name);
    Layer layer(24, 96, 6);
    const QuantScheme scheme = parse_scheme(name).value();
    const bool rows = scheme.scale->grouping.kind == Grouping::Kind::kRow;
    const std::int64_t group = rows ? 96 : scheme.scale->grouping.size;
    const std::vector<float> ones(96, 1.0f);
    const std::vector<QuadraticForm> forms = group_forms(layer.gram, group, 1.0, ones);
    const std::vector<float> plain = difference(layer.weights, by_rtn(layer.weights, scheme));
    const std::vector<float> clipped =
        difference(layer.weights, quantize_clipped(layer.weights, scheme, forms, layer.pool));
    double before = 0;
    double after = 0;
    for (std::int64_t from = 0; from < 96; from += group) {
      const std::int64_t to = std::min<std::int64_t>(96, from + group);
      const double here = layer.loss(clipped, from, to);
      EXPECT_LE(here, layer.loss(plain, from, to) * 1.0001);
      before += layer.loss(plain, from, to);
      after += here;
    }
    EXPECT_LT(after, 0.97 * before);
  }
}

TEST(Awq, LayerErrorTakesFactorsOut) {
  Layer layer(20, 32, 7);
  const QuantScheme scheme = parse_scheme("int4-g16-asym").value();
  std::mt19937 random(8);
  std::uniform_real_distribution<float> factor(0.5f, 2.0f);
  std::vector<float> columns(32);
  std::vector<float> rows(20);
  for (float& f : columns) f = factor(random);
  for (float& f : rows) f = factor(random);
  FloatMatrix scaled = layer.weights;
  for (std::size_t i = 0; i < scaled.values.size(); ++i) scaled.values[i] *= columns[i % 32] / rows[i / 32];
  const QuantizedMatrix quantized = by_rtn(scaled, scheme);
  std::vector<float> e = dequantized(quantized);
  for (std::size_t i = 0; i < e.size(); ++i) e[i] = layer.weights.values[i] - e[i] / columns[i % 32] * rows[i / 32];
  const double expected = layer.loss(e) / layer.loss(layer.weights.values);
  const QuadraticForm h(layer.gram, 0, 32, 1.0);
  EXPECT_NEAR(relative_output_error(scaled, quantized, h, columns, rows, layer.pool), expected, 1e-4 * expected);
}

TEST(Awq, ZeroWeightsStayZero) {
  Layer layer(16, 32, 9);
  std::fill(layer.weights.values.begin(), layer.weights.values.end(), 0.0f);
  const QuantScheme scheme = parse_scheme("int4-g16-asym").value();
  const ChannelSizes sizes = channel_sizes(layer.point, layer.gram, {&layer.weights, 1}, 16, layer.pool);
  for (const std::vector<float>& candidate : candidate_scales(sizes))
    EXPECT_EQ(candidate, std::vector<float>(32, 1.0f));
  const std::vector<float> ones(32, 1.0f);
  const std::vector<QuadraticForm> forms = group_forms(layer.gram, 16, 1.0, ones);
  EXPECT_EQ(dequantized(quantize_clipped(layer.weights, scheme, forms, layer.pool)), layer.weights.values);
}

}  // namespace
}  // namespace nibble
