// A linear's weights as float32, ready to be quantized.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "model/model_weights.h"

namespace nibble {

struct FloatMatrix {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<float> values;    ///< [rows, cols], finite
  std::int64_t non_finite = 0;  ///< how many were not
};

/// All weights of a linear, decoded and made finite row by row (see make_finite). Its mapped pages may leave memory.
Result<FloatMatrix> finite_weights(const ModelWeights& weights, LinearId id, ThreadPool& pool);

/// Says what became of weights that were not finite, if there were any.
void warn_of_non_finite(const FloatMatrix& matrix, const std::string& name);

}  // namespace nibble
