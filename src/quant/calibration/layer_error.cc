#include "quant/calibration/layer_error.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"
#include "kernel/error_feedback/error_feedback.h"
#include "quant/weights_as_floats.h"

namespace nibble {
namespace {

constexpr std::int64_t kL = kernel::kFeedbackLanes;

/// tr(E H E^T) of the rows in the lanes of e.
double trace(const std::vector<float>& h, std::int64_t cols, const std::vector<float>& e, std::vector<float>& eh) {
  std::fill(eh.begin(), eh.end(), 0.0f);
  kernel::feedback_kernel().accumulate(h.data(), cols, 0, cols, e.data(), 0, cols, eh.data());
  double sum = 0;
  for (std::size_t i = 0; i < e.size(); ++i) sum += static_cast<double>(e[i]) * static_cast<double>(eh[i]);
  return sum;
}

}  // namespace

LayerError::LayerError(const InputGram& gram) : cols_(gram.cols), h_(gram.sums.size()) {
  double sum = 0;
  for (std::int64_t j = 0; j < cols_; ++j) sum += gram.sums[static_cast<std::size_t>(j * cols_ + j)];
  const double scale = std::isfinite(sum) && sum > 0 ? static_cast<double>(cols_) / sum : 0.0;
  if (scale == 0.0) return;  // inputs that are all 0 or hold NaN: every output error counts as 0
  for (std::int64_t i = 0; i < cols_; ++i)
    for (std::int64_t j = i; j < cols_; ++j) {
      const auto value = static_cast<float>(scale * gram.sums[static_cast<std::size_t>(i * cols_ + j)]);
      h_[static_cast<std::size_t>(i * cols_ + j)] = h_[static_cast<std::size_t>(j * cols_ + i)] = value;
    }
}

double LayerError::of(std::span<const float> weights, const QuantizedMatrix& quantized, ThreadPool& pool) const {
  NIBBLE_CHECK(quantized.cols == cols_ && quantized.row_count == quantized.rows &&
               static_cast<std::int64_t>(weights.size()) == quantized.rows * cols_);
  std::vector<float> values(weights.size());
  weights_as_floats(quantized, values.data());
  const auto tiles = static_cast<std::size_t>((quantized.rows + kL - 1) / kL);
  std::vector<std::array<double, 2>> sums(tiles);
  pool.run(tiles, 1, [&](std::size_t begin, std::size_t end, int) {
    std::vector<float> w(static_cast<std::size_t>(cols_ * kL));
    std::vector<float> e(w.size());
    std::vector<float> scratch(w.size());
    for (std::size_t tile = begin; tile < end; ++tile) {
      const std::int64_t first = static_cast<std::int64_t>(tile) * kL;
      const std::int64_t lanes = std::min(kL, quantized.rows - first);
      std::fill(w.begin(), w.end(), 0.0f);
      std::fill(e.begin(), e.end(), 0.0f);
      for (std::int64_t lane = 0; lane < lanes; ++lane)
        for (std::int64_t c = 0; c < cols_; ++c) {
          const auto from = static_cast<std::size_t>((first + lane) * cols_ + c);
          w[static_cast<std::size_t>(c * kL + lane)] = weights[from];
          e[static_cast<std::size_t>(c * kL + lane)] = weights[from] - values[from];
        }
      sums[tile] = {trace(h_, cols_, e, scratch), trace(h_, cols_, w, scratch)};
    }
  });
  double error = 0;
  double norm = 0;
  for (const std::array<double, 2>& sum : sums) {
    error += sum[0];
    norm += sum[1];
  }
  return norm > 0 ? std::max(error, 0.0) / norm : 0.0;
}

}  // namespace nibble
