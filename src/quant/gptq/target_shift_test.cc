// The shift against its equation, what it is worth, and the bias that is left to correct.
#include "quant/gptq/target_shift.h"

#include <gtest/gtest.h>

#include <random>

#include "quant/gptq/gptq.h"
#include "quant/gptq/output_bias.h"
#include "quant/gptq/testing/layer.h"

namespace nibble {
namespace {

using testing::Layer;

/// A layer whose inputs come from an original model and, somewhat different, from a quantized one.
struct TwoStreams {
  static constexpr std::int64_t kCols = 48;
  static constexpr std::int64_t kTokens = 400;
  std::vector<float> original, quantized, weights;
  InputGram gram{kCols};

  TwoStreams() {
    gram.drift.resize(gram.sums.size());
    std::mt19937 random(31);
    std::normal_distribution<float> normal;
    for (std::int64_t t = 0; t < kTokens; ++t) {
      const float common = normal(random);
      for (std::int64_t c = 0; c < kCols; ++c) {
        original.push_back(common + normal(random) * (0.3f + 0.1f * static_cast<float>(c % 5)));
        quantized.push_back(0.9f * original.back() + 0.2f * normal(random));
      }
    }
    for (std::int64_t i = 0; i < 20 * kCols; ++i) weights.push_back(0.1f * normal(random));
    for (std::int64_t t = 0; t < kTokens; ++t)
      for (std::int64_t i = 0; i < kCols; ++i)
        for (std::int64_t j = 0; j < kCols; ++j) {
          const auto a = static_cast<std::size_t>(t * kCols + i);
          const auto b = static_cast<std::size_t>(t * kCols + j);
          const auto at = static_cast<std::size_t>(i * kCols + j);
          gram.sums[at] += static_cast<double>(quantized[a]) * static_cast<double>(quantized[b]);
          gram.drift[at] += (static_cast<double>(original[a]) - static_cast<double>(quantized[a])) *
                            static_cast<double>(quantized[b]);
        }
    gram.tokens = kTokens;
  }

  /// |W X_original^T - V X^T|^2
  double error(const std::vector<float>& values) const {
    double sum = 0;
    for (std::size_t row = 0; row < weights.size(); row += kCols)
      for (std::size_t t = 0; t < original.size(); t += kCols) {
        double difference = 0;
        for (std::size_t c = 0; c < kCols; ++c)
          difference += static_cast<double>(weights[row + c]) * static_cast<double>(original[t + c]) -
                        static_cast<double>(values[row + c]) * static_cast<double>(quantized[t + c]);
        sum += difference * difference;
      }
    return sum;
  }
};

TEST(TargetShift, SolvesItsEquation) {
  TwoStreams layer;
  ThreadPool pool(2);
  constexpr std::int64_t n = TwoStreams::kCols;
  const SecondOrder h = prepare_second_order(layer.gram, {0.02, ColumnOrder::kGroupAware, 16}, pool);
  std::vector<float> shifted = layer.weights;
  shift_towards_target(shifted, 20, h, layer.gram, 0.5f, pool);
  // (W* - W) (H + damping) = alpha W C
  const double damping = 0.02 * h.mean_diagonal;
  for (std::int64_t r = 0; r < 20; ++r)
    for (std::int64_t j = 0; j < n; ++j) {
      double left = 0;
      double right = 0;
      for (std::int64_t k = 0; k < n; ++k) {
        const auto at = static_cast<std::size_t>(r * n + k);
        const auto kj = static_cast<std::size_t>(k * n + j);
        left += (static_cast<double>(shifted[at]) - static_cast<double>(layer.weights[at])) *
                (layer.gram.sums[kj] + (k == j ? damping : 0));
        right += 0.5 * static_cast<double>(layer.weights[at]) * layer.gram.drift[kj];
      }
      EXPECT_NEAR(left, right, 1e-3 * (1 + std::abs(right)));
    }
}

TEST(TargetShift, LowersTheErrorAgainstTheOriginalOutput) {
  TwoStreams layer;
  ThreadPool pool(2);
  const QuantScheme scheme = parse_scheme("int4-g16-sym").value();
  const SecondOrder h =
      prepare_second_order(layer.gram, second_order_options(0.01, ColumnOrder::kGroupAware, scheme, 48), pool);
  std::vector<double> errors;
  for (const float alpha : {0.0f, 0.5f, 1.0f}) {
    std::vector<float> shifted = layer.weights;
    shift_towards_target(shifted, 20, h, layer.gram, alpha, pool);
    GptqReport report;
    const QuantizedMatrix matrix = quantize_gptq(shifted, 20, h, scheme, {}, pool, report);
    std::vector<float> values(layer.weights.size());
    dequantize(matrix, values.data());
    errors.push_back(layer.error(values));
  }
  EXPECT_LT(errors[1], errors[0]);
  EXPECT_LT(errors[2], errors[1]);
}

TEST(OutputBias, TakesTheMeanErrorBack) {
  Layer layer(6, 32, 32);
  const QuantizedMatrix matrix = layer.quantize("int2-g32-sym", {});
  std::vector<float> mean;
  for (int c = 0; c < 32; ++c) mean.push_back(0.1f * static_cast<float>(c) - 1.0f);
  const std::vector<float> bias = output_bias(layer.weights, matrix, mean);
  std::vector<float> values(layer.weights.size());
  dequantize(matrix, values.data());
  for (std::size_t r = 0; r < 6; ++r) {
    double original = 0;
    double corrected = static_cast<double>(bias[r]);
    for (std::size_t c = 0; c < 32; ++c) {
      original += static_cast<double>(layer.weights[r * 32 + c]) * static_cast<double>(mean[c]);
      corrected += static_cast<double>(values[r * 32 + c]) * static_cast<double>(mean[c]);
    }
    EXPECT_NEAR(corrected, original, 1e-5);
  }
}

}  // namespace
}  // namespace nibble
