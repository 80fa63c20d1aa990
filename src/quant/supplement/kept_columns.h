// Which columns are kept beside a linear's codes, and what the codes are then chosen by (algorithms.md 6.4).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "quant/calibration/input_gram.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// The columns to keep beside codes like those of `matrix`: the ones of largest E[x_c^2] * sum over rows of
/// (weight - value)^2, ascending. None where the scheme keeps none.
std::vector<std::int32_t> most_harmed_columns(std::span<const float> weights, const InputGram& gram,
                                              const QuantizedMatrix& matrix);

/// The second moments that codes are to be chosen by when `columns` are kept: what these cannot take back,
/// H - H_S H_SS^-1 H_S^T with H_SS damped, and 0 for the columns themselves. Tokens and drift stay.
InputGram beside_kept(const InputGram& gram, std::span<const std::int32_t> columns, ThreadPool& pool);

}  // namespace nibble
