// Softmax in portable code: the definition, in the contract's order of sums.
#include "kernel/softmax/softmax.h"

#include <limits>

#include "kernel/softmax/exp.h"

namespace nibble::kernel::reference {
namespace {

void row(const float* x, std::int64_t n, float* out) {
  float largest[64];
  for (float& lane : largest) lane = -std::numeric_limits<float>::infinity();
  for (std::int64_t i = 0; i < n; ++i) largest[i % 64] = max(largest[i % 64], x[i]);
  const float top = reduce_max(largest);
  float lanes[64] = {};
  for (std::int64_t i = 0; i < n; ++i) {
    out[i] = exp_nonpositive(x[i] - top);
    lanes[i % 64] = lanes[i % 64] + out[i];
  }
  const float sum = reduce_add(lanes);
  for (std::int64_t i = 0; i < n; ++i) out[i] = out[i] / sum;
}

bool maxima(const float* x, std::int64_t n, float* out) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  bool numbers = true;
  for (std::int64_t i = 0; i < n; ++i) {
    float& largest = out[i / kMaximaBlock];
    numbers = numbers && x[i] < kInfinity;
    largest = i % kMaximaBlock == 0 || x[i] > largest ? x[i] : largest;
  }
  return numbers;
}

}  // namespace

extern const SoftmaxKernel kSoftmax;
const SoftmaxKernel kSoftmax = {{"softmax", "softmax_reference", 0}, row, maxima};

}  // namespace nibble::kernel::reference
