// Pulling a matrix through a source in tiles of bounded size, decoded by all threads and consumed in row order
// meanwhile.
#pragma once

#include <cstdint>
#include <functional>

#include "base/thread_pool.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// Squared error and squared norm of the rows that were compared.
struct ErrorSample {
  double squared_error = 0;
  double squared_norm = 0;
  void add(const ErrorSample& other) {
    squared_error += other.squared_error;
    squared_norm += other.squared_norm;
  }
  /// |w - q| / |w|
  double relative() const;
};

/// Calls consume(tile), from one thread at a time but not always the caller's, for consecutive ranges of rows that
/// cover the matrix once, in order; tile boundaries are multiples of `row_step` (0: one tile with all rows). Rows that
/// are done are released in `source` and `original`. With `error` given, compares every eighth tile (the first
/// included) with `original`.
Status stream_matrix(const MatrixSource& source, std::int64_t row_step, const MatrixSource& original,
                     ErrorSample* error, ThreadPool& pool,
                     const std::function<Status(const QuantizedMatrix&)>& consume);

}  // namespace nibble
