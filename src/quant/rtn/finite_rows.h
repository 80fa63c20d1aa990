// Rows of a matrix as float32 weights that round-to-nearest can take: decoded, without NaN and infinities.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// NaN and infinities are replaced row by row (see make_finite), before any group is looked at; how many there were.
std::int64_t make_rows_finite(float* weights, std::int64_t rows, std::int64_t cols);

/// Tells the user of them.
void warn_of_non_finite(std::int64_t replaced);

/// Decodes rows [begin, begin + count) of a source to float32, by way of `scratch`. out: [count, cols].
Status decode_floats(const MatrixSource& source, std::int64_t begin, std::int64_t count, QuantizedMatrix& scratch,
                     float* out);

}  // namespace nibble
