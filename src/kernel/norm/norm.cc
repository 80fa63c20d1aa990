// Choice of the normalization kernel and the loop over rows.
#include "kernel/norm/norm.h"

#include <algorithm>

#include "base/check.h"

namespace nibble::kernel {

namespace reference {
extern const NormKernel kNorm;
}
namespace avx2 {
extern const NormKernel kNorm;
}
namespace avx512 {
extern const NormKernel kNorm;
}
namespace neon {
extern const NormKernel kNorm;
}

std::span<const NormKernel* const> norm_kernels() {
  static constexpr const NormKernel* kKernels[] = {
    &reference::kNorm,
#if defined(__x86_64__)
    &avx2::kNorm,
    &avx512::kNorm
#elif defined(__aarch64__)
    &neon::kNorm
#endif
  };
  return kKernels;
}

namespace {

/// Rows per chunk of the pool: about 32 KiB of x, so that one token of a small model starts no second thread.
std::size_t rows_per_chunk(std::int64_t n) {
  return static_cast<std::size_t>(std::max<std::int64_t>(1, 8192 / std::max<std::int64_t>(n, 1)));
}

const NormKernel& chosen() {
  static const NormKernel& kernel = best_kernel(norm_kernels(), cpu_features());
  return kernel;
}

}  // namespace

void rms_norm(const float* x, std::int64_t tokens, std::int64_t n, std::int64_t ld_x, const float* weight, float eps,
              bool weight_plus_one, float* out, std::int64_t ld_out, ThreadPool& pool) {
  NIBBLE_CHECK(tokens >= 0 && n >= 1);
  const NormKernel& kernel = chosen();
  pool.run(static_cast<std::size_t>(tokens), rows_per_chunk(n), [&](std::size_t begin, std::size_t end, int) {
    for (auto t = static_cast<std::int64_t>(begin); t < static_cast<std::int64_t>(end); ++t)
      kernel.rms_norm(x + t * ld_x, n, weight, eps, weight_plus_one, out + t * ld_out);
  });
}

void layer_norm(const float* x, std::int64_t tokens, std::int64_t n, std::int64_t ld_x, const float* weight,
                const float* bias, float eps, float* out, std::int64_t ld_out, ThreadPool& pool) {
  NIBBLE_CHECK(tokens >= 0 && n >= 1);
  const NormKernel& kernel = chosen();
  pool.run(static_cast<std::size_t>(tokens), rows_per_chunk(n), [&](std::size_t begin, std::size_t end, int) {
    for (auto t = static_cast<std::int64_t>(begin); t < static_cast<std::int64_t>(end); ++t)
      kernel.layer_norm(x + t * ld_x, n, weight, bias, eps, out + t * ld_out);
  });
}

}  // namespace nibble::kernel
