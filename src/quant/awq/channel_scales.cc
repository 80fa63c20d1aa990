#include "quant/awq/channel_scales.h"

#include <algorithm>
#include <cmath>

namespace nibble {
namespace {

constexpr int kRatios = 20;
constexpr double kSmallest = 1e-4;

std::vector<float> scales_of(const ChannelSizes& sizes, double ratio, bool both) {
  std::vector<double> scales(sizes.input.size(), 0.0);
  double least = HUGE_VAL;
  double largest = 0;
  for (std::size_t i = 0; i < scales.size(); ++i) {
    if (!(sizes.input[i] > 0 && sizes.weight[i] > 0)) continue;
    const double divisor = both ? std::pow(sizes.weight[i], 1 - ratio) + kSmallest : 1.0;
    scales[i] = std::max(std::pow(sizes.input[i], ratio) / divisor, kSmallest);
    least = std::min(least, scales[i]);
    largest = std::max(largest, scales[i]);
  }
  std::vector<float> out(scales.size(), 1.0f);
  for (std::size_t i = 0; i < scales.size(); ++i) {
    const double scale = scales[i] / std::sqrt(least * largest);
    if (scale > 0 && std::isfinite(scale)) out[i] = static_cast<float>(scale);
  }
  return out;
}

/// Adds to sums[c], for every column, |w| over the largest |w| of its group, row after row.
void add_relative_magnitudes(const FloatMatrix& matrix, std::int64_t group, std::vector<double>& sums,
                             ThreadPool& pool) {
  const std::int64_t groups = (matrix.cols + group - 1) / group;
  pool.run(static_cast<std::size_t>(groups), 1, [&](std::size_t begin, std::size_t end, int) {
    for (auto g = static_cast<std::int64_t>(begin); g < static_cast<std::int64_t>(end); ++g) {
      const std::int64_t last = std::min(matrix.cols, (g + 1) * group);
      for (std::int64_t r = 0; r < matrix.rows; ++r) {
        const float* row = matrix.values.data() + r * matrix.cols;
        float largest = 0;
        for (std::int64_t c = g * group; c < last; ++c) largest = std::max(largest, std::fabs(row[c]));
        const double divisor = static_cast<double>(largest) + 1e-6;
        for (std::int64_t c = g * group; c < last; ++c)
          sums[static_cast<std::size_t>(c)] += static_cast<double>(std::fabs(row[c])) / divisor;
      }
    }
  });
}

}  // namespace

ChannelSizes channel_sizes(const FoldPoint& point, const InputGram& gram, std::span<const FloatMatrix> matrices,
                           std::int64_t group, ThreadPool& pool) {
  std::vector<double> magnitudes(static_cast<std::size_t>(gram.cols));
  double rows = 0;
  for (const FloatMatrix& matrix : matrices) {
    add_relative_magnitudes(matrix, group, magnitudes, pool);
    rows += static_cast<double>(matrix.rows);
  }
  const double tokens = std::max(static_cast<double>(gram.tokens), 1.0);
  const double sharing = static_cast<double>(gram.cols) / static_cast<double>(point.channels);
  ChannelSizes out;
  out.input.resize(static_cast<std::size_t>(point.channels));
  out.weight.resize(static_cast<std::size_t>(point.channels));
  for (std::int64_t c = 0; c < gram.cols; ++c) {
    const auto channel = static_cast<std::size_t>(point.channel(c));
    out.input[channel] += gram.abs_sums[static_cast<std::size_t>(c)] / (tokens * sharing);
    out.weight[channel] += magnitudes[static_cast<std::size_t>(c)] / (rows * sharing);
  }
  return out;
}

std::vector<std::vector<float>> candidate_scales(const ChannelSizes& sizes) {
  std::vector<std::vector<float>> out{std::vector<float>(sizes.input.size(), 1.0f)};
  for (int i = 0; i < kRatios; ++i) {
    out.push_back(scales_of(sizes, static_cast<double>(i + 1) / kRatios, false));
    out.push_back(scales_of(sizes, static_cast<double>(i) / kRatios, true));
  }
  return out;
}

}  // namespace nibble
