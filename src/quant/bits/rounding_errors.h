// What rounding a matrix does to the outputs of a linear.
#pragma once

#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// A matrix, and the same rounded to nearest in some schemes.
class RoundingErrors {
 public:
  static Result<RoundingErrors> create(MatrixPtr original, const std::vector<QuantScheme>& schemes, ThreadPool& pool);

  std::int64_t rows() const { return original_->rows(); }
  std::int64_t cols() const { return original_->cols(); }
  /// Ranges of rows begin at multiples of it.
  std::int64_t row_step() const { return row_step_; }
  std::size_t schemes() const { return rounded_.size(); }

  /// out [count, cols] = the original's weights; not finite ones as rounding takes them.
  Status weights(std::int64_t begin, std::int64_t count, std::vector<float>& out, ThreadPool& pool) const;
  /// out [count, cols] = rounded in scheme number `scheme`, minus `weights` of the same rows.
  Status errors(std::size_t scheme, std::int64_t begin, std::int64_t count, const std::vector<float>& weights,
                std::vector<float>& out, ThreadPool& pool) const;
  /// Mapped pages may leave memory.
  void release() const { original_->release(0, rows()); }

 private:
  MatrixPtr original_;
  std::vector<MatrixPtr> rounded_;
  std::int64_t row_step_ = 1;
};

}  // namespace nibble
