// A matrix seen in another scheme, made from its source row range by row range: what derived classes share.
#pragma once

#include <utility>

#include "tensor/quantized_matrix.h"

namespace nibble {

class MatrixView : public MatrixSource {
 public:
  const QuantScheme& scheme() const override { return scheme_; }
  std::int64_t rows() const override { return source_->rows(); }
  std::int64_t cols() const override { return source_->cols(); }
  std::int64_t row_step() const override { return source_->row_step(); }
  void release(std::int64_t begin, std::int64_t count) const override { source_->release(begin, count); }

 protected:
  MatrixView(MatrixPtr source, QuantScheme scheme) : source_(std::move(source)), scheme_(std::move(scheme)) {}
  MatrixPtr source_;
  QuantScheme scheme_;
};

}  // namespace nibble
