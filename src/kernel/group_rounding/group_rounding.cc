// The list of kernels and the choice among them.
#include "kernel/group_rounding/group_rounding.h"

namespace nibble::kernel {

namespace reference {
extern const GroupRoundingKernel kGroupRounding;
}
namespace avx2 {
extern const GroupRoundingKernel kGroupRounding;
}
namespace avx512 {
extern const GroupRoundingKernel kGroupRounding;
}
namespace neon {
extern const GroupRoundingKernel kGroupRounding;
}

std::span<const GroupRoundingKernel* const> group_rounding_kernels() {
  static constexpr const GroupRoundingKernel* kKernels[] = {
    &reference::kGroupRounding,
#if defined(__x86_64__)
    &avx2::kGroupRounding,
    &avx512::kGroupRounding,
#elif defined(__aarch64__)
    &neon::kGroupRounding,
#endif
  };
  return kKernels;
}

const GroupRoundingKernel& group_rounding_kernel() {
  static const GroupRoundingKernel& kernel = best_kernel(group_rounding_kernels(), cpu_features());
  return kernel;
}

}  // namespace nibble::kernel
