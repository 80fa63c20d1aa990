// Bias correction (algorithms.md 19): what quantizing adds to the mean output of a linear, taken back by its bias.
#pragma once

#include <span>
#include <vector>

#include "tensor/quantized_matrix.h"

namespace nibble {

/// For each row, the sum of (weight - value) * mean input: to be added to the bias of a linear that has one.
/// `weights` [rows, cols] are the original ones, `matrix` holds all rows, `mean_input` has one number per column.
std::vector<float> output_bias(std::span<const float> weights, const QuantizedMatrix& matrix,
                               std::span<const float> mean_input);

}  // namespace nibble
