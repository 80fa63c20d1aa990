// What stands beside a quantized linear's codes (SupplementFormat), fitted to what the codes leave of its outputs
// (algorithms.md 6.4 and 19: kept columns, EoRA).
#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "quant/calibration/input_gram.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// Sets the supplement of `matrix`, which holds all rows and whose supplement is still 0: of least
/// |X (weights - values)^T|^2 over the gram's inputs (damped as for gptq), given which columns are kept and which
/// product's right factor is taken. `weights` [rows, cols] are finite.
///
/// Kept are `columns`, ascending, as many as the scheme says. The right factor spans, for what
/// then remains, the directions that most of the outputs' error has. Stays 0 where the gram is of no use. The same bits
/// for any number of threads.
void fit_supplement(std::span<const float> weights, const InputGram& gram, std::span<const std::int32_t> columns,
                    QuantizedMatrix& matrix, ThreadPool& pool);

/// Bytes that fit_supplement() holds at most for a linear of this shape.
std::uint64_t supplement_bytes(std::int64_t rows, std::int64_t cols);

}  // namespace nibble
