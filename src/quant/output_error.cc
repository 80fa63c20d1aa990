#include "quant/output_error.h"

#include <vector>

#include "quant/lane_tile.h"
#include "quant/weights_as_floats.h"

namespace nibble {
namespace {

constexpr std::int64_t kL = kernel::kFeedbackLanes;

/// Sum over the lanes of x H x^T, each row times its factor.
double squared_outputs(const QuadraticForm& h, const LaneTile& tile, std::span<const float> rows) {
  double lanes[kL];
  h.evaluate(tile.values.data(), lanes);
  double sum = 0;
  for (std::int64_t lane = 0; lane < tile.lanes; ++lane) {
    const double factor =
        rows.empty() ? 1.0 : static_cast<double>(rows[static_cast<std::size_t>(tile.first_row + lane)]);
    sum += lanes[lane] * factor * factor;
  }
  return sum;
}

}  // namespace

double relative_output_error(const FloatMatrix& weights, const QuantizedMatrix& quantized, const QuadraticForm& h,
                             std::span<const float> columns, std::span<const float> rows, ThreadPool& pool) {
  std::vector<float> values(weights.values.size());
  weights_as_floats(quantized, values.data());
  const auto tiles = static_cast<std::size_t>(LaneTile::count(weights.rows));
  std::vector<double> errors(tiles);
  std::vector<double> norms(tiles);
  pool.run(tiles, 1, [&](std::size_t begin, std::size_t end, int) {
    LaneTile w;
    LaneTile q;
    for (std::size_t n = begin; n < end; ++n) {
      w.gather(weights.values, weights.rows, weights.cols, static_cast<std::int64_t>(n));
      q.gather(values, weights.rows, weights.cols, static_cast<std::int64_t>(n));
      for (std::size_t i = 0; i < w.values.size(); ++i) {
        const float factor = columns.empty() ? 1.0f : columns[i / kL];
        q.values[i] = (w.values[i] - q.values[i]) / factor;
        w.values[i] /= factor;
      }
      errors[n] = squared_outputs(h, q, rows);
      norms[n] = squared_outputs(h, w, rows);
    }
  });
  double error = 0;
  double norm = 0;
  for (std::size_t n = 0; n < tiles; ++n) {
    error += errors[n];
    norm += norms[n];
  }
  return norm > 0 ? error / norm : 0;
}

}  // namespace nibble
