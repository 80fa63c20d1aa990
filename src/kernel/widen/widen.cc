// The list of kernels and the choice among them.
#include "kernel/widen/widen.h"

namespace nibble::kernel {

namespace reference {
extern const WidenKernel kWiden;
}
namespace avx2 {
extern const WidenKernel kWiden;
}
namespace avx512 {
extern const WidenKernel kWiden;
}
namespace neon {
extern const WidenKernel kWiden;
}

std::span<const WidenKernel* const> widen_kernels() {
  static constexpr const WidenKernel* kKernels[] = {
    &reference::kWiden,
#if defined(__x86_64__)
    &avx2::kWiden,
    &avx512::kWiden
#elif defined(__aarch64__)
    &neon::kWiden
#endif
  };
  return kKernels;
}

const WidenKernel& widen_kernel() {
  static const WidenKernel& kernel = best_kernel(widen_kernels(), cpu_features());
  return kernel;
}

}  // namespace nibble::kernel
