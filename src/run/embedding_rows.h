// Rows of an embedding matrix, looked up in its file when a token needs them.
#pragma once

#include <cstdint>

#include "tensor/quantized_matrix.h"

namespace nibble {

/// out [cols] = row `row` of the matrix, dequantized. Reading from several threads at once is safe.
Status read_embedding_row(const MatrixSource& matrix, std::int64_t row, float* out);

}  // namespace nibble
