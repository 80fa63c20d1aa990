// GPTQ in its LDLQ form, with scales searched on the weights that already carry the errors of earlier columns, and
// refinements after the pass (algorithms.md 4.1 to 4.6).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "quant/gptq/second_order.h"
#include "quant/rtn/range.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

struct GptqOptions {
  /// Scales by weighted least squares over trial scales; else by `range`, as GPTQ's own code does.
  bool search_scales = true;
  RangeRule range;
  bool feedback = true;  ///< off: rounds to nearest, on the same scales
  int sweeps = 0;        ///< of coordinate descent over all codes after the pass, ended early when nothing changes
  bool refit = false;    ///< scales again, between the sweeps
};

/// Layer errors |X (W - Q)^T|^2 / |X W^T|^2, for the damped H.
struct GptqReport {
  double error = 0;
  std::int64_t non_finite = 0;  ///< weights that were NaN or infinite
};

/// Success when error feedback can produce `scheme`: integers of 2 to 8 bits, a scale per row or group of columns.
Status check_gptq_scheme(const QuantScheme& scheme);

/// Columns that share a scale; 0: a whole row.
std::int64_t gptq_group(const QuantScheme& scheme);

/// Quantizes `weights` [rows, cols] (made finite in place) against `h`, which was prepared for gptq_group(scheme).
QuantizedMatrix quantize_gptq(std::span<float> weights, std::int64_t rows, const SecondOrder& h,
                              const QuantScheme& scheme, const GptqOptions& options, ThreadPool& pool,
                              GptqReport& report);

}  // namespace nibble
