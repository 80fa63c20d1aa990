// Bias correction (algorithms.md 19): what quantizing adds to the mean output of a linear, taken back by its bias.
#pragma once

#include <span>
#include <vector>

#include "model/model_weights.h"
#include "quant/calibration/input_gram.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// For each row, the sum of (weight - value) * mean input: to be added to the bias of a linear that has one.
/// `weights` [rows, cols] are the original ones, `matrix` holds all rows, `mean_input` has one number per column.
std::vector<float> output_bias(std::span<const float> weights, const QuantizedMatrix& matrix,
                               std::span<const float> mean_input);

/// The mean of every column; empty where the sums are of no use (NaN, infinite, or no inputs).
std::vector<float> mean_inputs(const InputGram& gram);

/// The bias of linear `id` with output_bias() added; empty where it has none, or where the means are not known.
Result<std::vector<float>> corrected_bias(const ModelWeights& weights, LinearId id, std::span<const float> targets,
                                          const QuantizedMatrix& matrix, std::span<const float> mean_input);

}  // namespace nibble
