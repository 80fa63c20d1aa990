// Double quantization by round-to-nearest (algorithms.md 13, formats-hf.md 4.6): all scales first, then their codes,
// then the weights' codes on the scales that a reader will see.
#pragma once

#include "base/thread_pool.h"
#include "quant/rtn/group_grid.h"
#include "quant/rtn/rtn.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// Scales and codes of a whole matrix, allocated in `out`. weights: [rows, cols], finite.
void quantize_nested(const float* weights, const GroupQuantizer& quantizer, QuantizedMatrix& out);

/// Every group lies within a row.
bool groups_lie_in_rows(const Grouping& grouping, std::int64_t cols);

/// A matrix whose groups lie within rows: all threads choose its scales now, its weights are coded on demand. The same
/// matrix as quantize_nested() makes.
Result<MatrixPtr> quantize_rtn_nested(MatrixPtr source, const QuantScheme& scheme, const RtnOptions& options,
                                      ThreadPool& pool);

}  // namespace nibble
