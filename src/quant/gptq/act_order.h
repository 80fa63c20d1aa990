// Act-order (algorithms.md 4.3; GPTQ's desc_act): columns in the order of their inputs' size, and groups of columns as
// they come in that order. A checkpoint then says for each column which group it belongs to (g_idx).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "quant/calibration/input_gram.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// Success for integers with scales (and zero points) in runs of columns; else why there is no g_idx for it.
Status check_act_order(const QuantScheme& scheme);

/// Columns by their second moment, the largest first.
std::vector<std::int32_t> activation_order(const InputGram& gram);

/// The statistics of a linear whose column p is column order[p] of this one.
InputGram in_order(const InputGram& gram, std::span<const std::int32_t> order);

/// Its weights [rows, order.size()].
std::vector<float> in_order(std::span<const float> weights, std::span<const std::int32_t> order);

/// `scheme` for rows of `cols` columns with a group index in place of runs of columns.
QuantScheme with_group_index(const QuantScheme& scheme, std::int64_t cols);

/// The matrix with its columns, which are in `order`, where they belong, in the scheme of with_group_index().
QuantizedMatrix with_group_index(QuantizedMatrix matrix, std::span<const std::int32_t> order);

}  // namespace nibble
