// Normalization in portable code: the definition, in the contract's order of sums.
#include <cmath>

#include "kernel/lanes/lanes.h"
#include "kernel/norm/norm.h"

namespace nibble::kernel::reference {
namespace {

void rms_norm(const float* x, std::int64_t n, const float* weight, float eps, bool weight_plus_one, float* out) {
  float lanes[64] = {};
  for (std::int64_t i = 0; i < n; ++i) lanes[i % 64] = std::fma(x[i], x[i], lanes[i % 64]);
  const float r = 1.0f / std::sqrt(reduce_add(lanes) / static_cast<float>(n) + eps);
  for (std::int64_t i = 0; i < n; ++i) {
    const float y = x[i] * r;
    if (weight == nullptr)
      out[i] = y;
    else
      out[i] = y * (weight_plus_one ? 1.0f + weight[i] : weight[i]);
  }
}

void layer_norm(const float* x, std::int64_t n, const float* weight, const float* bias, float eps, float* out) {
  float lanes[64] = {};
  for (std::int64_t i = 0; i < n; ++i) lanes[i % 64] = lanes[i % 64] + x[i];
  const float mean = reduce_add(lanes) / static_cast<float>(n);
  float squares[64] = {};
  for (std::int64_t i = 0; i < n; ++i) {
    const float d = x[i] - mean;
    squares[i % 64] = std::fma(d, d, squares[i % 64]);
  }
  const float r = 1.0f / std::sqrt(reduce_add(squares) / static_cast<float>(n) + eps);
  for (std::int64_t i = 0; i < n; ++i)
    out[i] = std::fma((x[i] - mean) * r, weight == nullptr ? 1.0f : weight[i], bias == nullptr ? 0.0f : bias[i]);
}

}  // namespace

extern const NormKernel kNorm;
const NormKernel kNorm = {{"norm", "norm_reference", 0}, rms_norm, layer_norm};

}  // namespace nibble::kernel::reference
