// Rounding to nearest in whatever scheme there is a rounder for.
#pragma once

#include "base/thread_pool.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// Success when round_plainly() can make `scheme` in rows of `cols` columns.
Status check_plain_rounding(const QuantScheme& scheme, std::int64_t cols);

/// `original` seen through round-to-nearest with the scales of least squared error or, where that cannot make the
/// scheme, through ggml's own quantizer for it.
Result<MatrixPtr> round_plainly(MatrixPtr original, const QuantScheme& scheme, ThreadPool& pool);

}  // namespace nibble
