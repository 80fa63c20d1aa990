// GPTQ in its LDLQ form over every grid that a checkpoint family can store, with grids chosen on the weights that
// already carry the errors of earlier columns, and refinements after the pass (algorithms.md 4.1 to 4.7).
#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "quant/gptq/grid_shape.h"
#include "quant/gptq/second_order.h"
#include "quant/rtn/range.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

struct GptqOptions {
  /// Scales by weighted least squares over trial scales; else by `range`, as GPTQ's own code does.
  bool search_scales = true;
  RangeRule range;
  bool feedback = true;     ///< off: rounds to nearest, on the same scales
  int codebook_rounds = 2;  ///< codebooks and scales fitted in turn, before the pass
  int sweeps = 0;           ///< at most so many of coordinate descent over all codes after the pass
  bool refit = false;       ///< grids again, between the sweeps
  double least_gain = 0.0;  ///< sweeps end when one takes less than this part off the error of sixteen rows
};

/// What `--method best` does beyond the pass; docs/methods.md has what each step is worth.
GptqOptions best_options();

/// Layer errors |X (W - Q)^T|^2 / |X W^T|^2, for the damped H.
struct GptqReport {
  double error = 0;
  std::int64_t non_finite = 0;  ///< weights that were NaN or infinite
};

/// How prepare_second_order() is to order the columns of a linear for `scheme`.
SecondOrderOptions second_order_options(double damping, ColumnOrder order, const QuantScheme& scheme,
                                        std::int64_t cols);

/// Quantizes `weights` [rows, cols] (made finite in place) against `h`, which was prepared with second_order_options();
/// check_gptq_scheme() accepts the scheme.
QuantizedMatrix quantize_gptq(std::span<float> weights, std::int64_t rows, const SecondOrder& h,
                              const QuantScheme& scheme, const GptqOptions& options, ThreadPool& pool,
                              GptqReport& report);

}  // namespace nibble
