// The list of gradient kernels and the choice among them.
#include "kernel/gradient/gradient.h"

namespace nibble::kernel {

namespace reference {
extern const GradientKernel kGradient;
}
namespace avx2 {
extern const GradientKernel kGradient;
}
namespace avx512 {
extern const GradientKernel kGradient;
}
namespace neon {
extern const GradientKernel kGradient;
}

std::span<const GradientKernel* const> gradient_kernels() {
  static constexpr const GradientKernel* kKernels[] = {
    &reference::kGradient,
#if defined(__x86_64__)
    &avx2::kGradient,
    &avx512::kGradient
#elif defined(__aarch64__)
    &neon::kGradient
#endif
  };
  return kKernels;
}

const GradientKernel& gradient_kernel() {
  static const GradientKernel& kernel = best_kernel(gradient_kernels(), cpu_features());
  return kernel;
}

}  // namespace nibble::kernel
