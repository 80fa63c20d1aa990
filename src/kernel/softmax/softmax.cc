// Choice of the softmax kernel and the loop over rows.
#include "kernel/softmax/softmax.h"

#include <algorithm>

#include "base/check.h"

namespace nibble::kernel {

namespace reference {
extern const SoftmaxKernel kSoftmax;
}
namespace avx2 {
extern const SoftmaxKernel kSoftmax;
}
namespace avx512 {
extern const SoftmaxKernel kSoftmax;
}
namespace neon {
extern const SoftmaxKernel kSoftmax;
}

std::span<const SoftmaxKernel* const> softmax_kernels() {
  static constexpr const SoftmaxKernel* kKernels[] = {
    &reference::kSoftmax,
#if defined(__x86_64__)
    &avx2::kSoftmax,
    &avx512::kSoftmax
#elif defined(__aarch64__)
    &neon::kSoftmax
#endif
  };
  return kKernels;
}

const SoftmaxKernel& best_softmax() {
  static const SoftmaxKernel& kernel = best_kernel(softmax_kernels(), cpu_features());
  return kernel;
}

void softmax(const float* x, std::int64_t rows, std::int64_t n, std::int64_t ld_x, float* out, std::int64_t ld_out,
             ThreadPool& pool) {
  NIBBLE_CHECK(rows >= 0 && n >= 1);
  const SoftmaxKernel& kernel = best_softmax();
  const auto grain = static_cast<std::size_t>(std::max<std::int64_t>(1, 4096 / n));
  pool.run(static_cast<std::size_t>(rows), grain, [&](std::size_t begin, std::size_t end, int) {
    for (auto t = static_cast<std::int64_t>(begin); t < static_cast<std::int64_t>(end); ++t)
      kernel.row(x + t * ld_x, n, out + t * ld_out);
  });
}

}  // namespace nibble::kernel
