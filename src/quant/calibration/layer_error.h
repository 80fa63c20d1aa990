// How far a quantized linear's outputs are from the original's, on the inputs whose second moments are known.
#pragma once

#include <span>

#include "base/thread_pool.h"
#include "quant/gptq/second_order.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// |X (W - Q)^T|^2 / |X W^T|^2 = tr(E H E^T) / tr(W H W^T), H = gram; 0 where X W^T is 0. weights: W [rows, cols],
/// finite. In float32 with sums of rows in float64.
class LayerError {
 public:
  explicit LayerError(const InputGram& gram);
  double of(std::span<const float> weights, const QuantizedMatrix& quantized, ThreadPool& pool) const;

 private:
  std::int64_t cols_;
  std::vector<float> h_;  ///< [cols, cols] divided by its mean diagonal
};

}  // namespace nibble
