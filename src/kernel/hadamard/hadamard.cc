#include "kernel/hadamard/hadamard.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace nibble::kernel {
namespace {

void transform(float* x, std::int64_t n, float scale) {
  for (std::int64_t half = 1; half < n; half *= 2)
    for (std::int64_t begin = 0; begin < n; begin += 2 * half)
      for (std::int64_t i = begin; i < begin + half; ++i) {
        const float a = x[i];
        const float b = x[i + half];
        x[i] = a + b;
        x[i + half] = a - b;
      }
  for (std::int64_t i = 0; i < n; ++i) x[i] *= scale;
}

}  // namespace

std::int64_t hadamard_block(std::int64_t n) { return n & -n; }

void hadamard(float* x, std::int64_t rows, std::int64_t vectors, std::int64_t n, std::int64_t ld_x, ThreadPool& pool) {
  NIBBLE_CHECK(n > 0 && ld_x >= vectors * n);
  const std::int64_t block = hadamard_block(n);
  if (block == 1) return;
  const float scale = 1.0f / std::sqrt(static_cast<float>(block));
  const auto grain = static_cast<std::size_t>(std::max<std::int64_t>(1, 4096 / (vectors * n)));
  pool.run(static_cast<std::size_t>(rows), grain, [&](std::size_t begin, std::size_t end, int) {
    for (auto r = static_cast<std::int64_t>(begin); r < static_cast<std::int64_t>(end); ++r)
      for (std::int64_t i = 0; i < vectors * n; i += block) transform(x + r * ld_x + i, block, scale);
  });
}

}  // namespace nibble::kernel
