// How far a quantized linear's outputs are from its own on the calibration tokens.
#pragma once

#include <span>

#include "base/thread_pool.h"
#include "quant/float_matrix.h"
#include "quant/quadratic_form.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// tr(E H E^T) / tr(W H W^T) for the weights without their factors: W[r, c] = weights[r, c] / columns[c] * rows[r] and
/// E likewise from weights - quantized. Empty factors are 1. 0 where W gives no output.
double relative_output_error(const FloatMatrix& weights, const QuantizedMatrix& quantized, const QuadraticForm& h,
                             std::span<const float> columns, std::span<const float> rows, ThreadPool& pool);

}  // namespace nibble
