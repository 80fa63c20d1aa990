// Rounding to nearest on ranges that are clipped where that lowers the error of a group's own part of the outputs
// (algorithms.md 5.4).
#pragma once

#include <span>
#include <vector>

#include "quant/float_matrix.h"
#include "quant/quadratic_form.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// Quantizes `weights` to `scheme`. `groups` holds H of each group of columns by itself (see group_forms); empty: no
/// range is clipped. Tried are ranges of 0.55 to 1 of a group's own: both ends, then each by itself; for symmetric
/// schemes with either sign.
QuantizedMatrix quantize_clipped(const FloatMatrix& weights, const QuantScheme& scheme,
                                 std::span<const QuadraticForm> groups, ThreadPool& pool);

/// H of each group's columns, for weights that were multiplied by column_factors.
std::vector<QuadraticForm> group_forms(const InputGram& gram, std::int64_t group, double unit,
                                       std::span<const float> column_factors);

}  // namespace nibble
