#include "quant/gptq/gptq.h"

#include <algorithm>

#include "base/check.h"
#include "quant/gptq/row_codebooks.h"
#include "quant/gptq/row_tile.h"
#include "quant/rtn/finite_rows.h"
#include "quant/rtn/rtn.h"

namespace nibble {
namespace {

constexpr std::int64_t kL = kernel::kFeedbackLanes;

/// What is shared by rows: scales that reach beyond them, and a codebook of the tensor.
void choose_before(std::span<float> weights, std::int64_t rows, const SecondOrder& h, QuantizedMatrix& out) {
  const QuantScheme scheme = out.scheme;
  const std::int64_t cols = h.cols;
  const bool nested = scheme.scale && scheme.scale->nested && !outer_is_within_rows(*scheme.scale, cols);
  if (nested || (scheme.scale && is_chosen_before(scheme.scale->grouping, cols))) {
    const RtnOptions options{{RangeRule::Kind::kMse, 100.0}};
    quantize_rtn_rows(weights.data(), rows, cols, 0, rows, scheme, options, out);
  } else {
    out.allocate(scheme, rows, cols, 0, rows);
  }
  if (scheme.code.table == TableKind::kStored && scheme.table.grouping.kind == Grouping::Kind::kTensor)
    out.tables = fit_tensor_codebook(weights, h, scheme.scale ? grid_shape(scheme, cols).run : 0, scheme);
}

}  // namespace

GptqOptions best_options() {
  GptqOptions options;
  options.codebook_rounds = 3;
  options.sweeps = 6;
  options.refit = true;
  options.least_gain = 0.005;
  return options;
}

SecondOrderOptions second_order_options(double damping, ColumnOrder order, const QuantScheme& scheme,
                                        std::int64_t cols) {
  const GridShape shape = grid_shape(scheme, cols);
  return {damping, order, shape.unit, shape.run};
}

QuantizedMatrix quantize_gptq(std::span<float> weights, std::int64_t rows, const SecondOrder& h,
                              const QuantScheme& scheme, const GptqOptions& options, ThreadPool& pool,
                              GptqReport& report) {
  const std::int64_t cols = h.cols;
  NIBBLE_CHECK(static_cast<std::int64_t>(weights.size()) == rows * cols);
  report.non_finite += make_rows_finite(weights.data(), rows, cols);
  QuantizedMatrix out;
  out.scheme = scheme;
  choose_before(weights, rows, h, out);
  const auto tiles = static_cast<std::size_t>((rows + kL - 1) / kL);
  std::vector<double> errors(tiles);
  std::vector<double> norms(tiles);
  pool.run(tiles, 1, [&](std::size_t begin, std::size_t end, int) {
    RowTile tile(h, options, out);
    for (std::size_t n = begin; n < end; ++n) {
      tile.gather(weights, rows, static_cast<std::int64_t>(n) * kL);
      tile.quantize();
      tile.refine();
      tile.measure(errors[n], norms[n]);
      tile.store();
    }
  });
  double error = 0;
  double norm = 0;
  for (std::size_t n = 0; n < tiles; ++n) {
    error += errors[n];
    norm += norms[n];
  }
  report.error = norm > 0 ? error / norm : 0;
  return out;
}

}  // namespace nibble
