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

}  // namespace nibble
