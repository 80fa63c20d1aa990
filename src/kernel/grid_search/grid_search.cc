// The list of kernels and the choice among them.
#include "kernel/grid_search/grid_search.h"

namespace nibble::kernel {

namespace reference {
extern const GridSearchKernel kGridSearch;
}
namespace avx2 {
extern const GridSearchKernel kGridSearch;
}
namespace avx512 {
extern const GridSearchKernel kGridSearch;
}
namespace neon {
extern const GridSearchKernel kGridSearch;
}

std::span<const GridSearchKernel* const> grid_search_kernels() {
  static constexpr const GridSearchKernel* kKernels[] = {
    &reference::kGridSearch,
#if defined(__x86_64__)
    &avx2::kGridSearch,
    &avx512::kGridSearch
#elif defined(__aarch64__)
    &neon::kGridSearch
#endif
  };
  return kKernels;
}

const GridSearchKernel& grid_search_kernel() {
  static const GridSearchKernel& kernel = best_kernel(grid_search_kernels(), cpu_features());
  return kernel;
}

}  // namespace nibble::kernel
