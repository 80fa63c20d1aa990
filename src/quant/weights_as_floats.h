// Decoded weights as float32, on the machine's vectors where that is worth it.
#pragma once

#include <vector>

#include "base/thread_pool.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// dequantize() by another way: the same values, a NaN being some NaN.
void weights_as_floats(const QuantizedMatrix& matrix, float* out);

/// All of a matrix, [rows, cols], decoded by all threads.
Result<std::vector<float>> weights_as_floats(const MatrixSource& source, ThreadPool& pool);

/// out [count, cols] = rows [begin, begin + count), decoded by all threads; `begin` is a multiple of the row step, and
/// so is the end, or the last row.
Status rows_as_floats(const MatrixSource& source, std::int64_t begin, std::int64_t count, float* out, ThreadPool& pool);

}  // namespace nibble
