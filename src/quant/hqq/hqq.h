// HQQ, half-quadratic quantization (algorithms.md 8): zero points that lower sum |w - value|^p, p < 1, without any
// data.
#pragma once

#include "base/thread_pool.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// The defaults are hqq's own.
struct HqqOptions {
  double p = 0.7;
  double beta = 10;     ///< weight of the quadratic term, in units of the weights
  double kappa = 1.01;  ///< what beta is multiplied by after an iteration
  int iterations = 20;
  bool rounded_start = true;  ///< 4-bit zero points begin as integers; the iterations make them real
};

/// Success for integers of 2 to 8 bits in groups of columns or rows with zero points, real or integer.
Status check_hqq_scheme(const QuantScheme& scheme);

/// The scheme with real zero points, stored as its scales are, in place of integer ones: what hqq is at its best on.
QuantScheme with_real_zeros(const QuantScheme& scheme);

/// Quantizes rows [row_begin, row_begin + row_count) of a matrix, given as float32 [row_count, cols] and made finite in
/// place, into `out`, which it allocates. Each group has the zero point that the iterations end with, an
/// integer one the better of its neighbours. Returns how many weights were NaN or infinite.
std::int64_t quantize_hqq_rows(float* weights, std::int64_t rows, std::int64_t cols, std::int64_t row_begin,
                               std::int64_t row_count, const QuantScheme& scheme, const HqqOptions& options,
                               QuantizedMatrix& out);

/// The source seen through it: decode() quantizes the rows asked for.
Result<MatrixPtr> quantize_hqq(MatrixPtr source, const QuantScheme& scheme, const HqqOptions& options);

}  // namespace nibble
