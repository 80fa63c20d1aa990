// The list of search kernels and the choice among them.
#include "kernel/ggml_search/ggml_search.h"

namespace nibble::kernel {

namespace reference {
extern const GgmlSearchKernel kGgmlSearch;
}
namespace avx2 {
extern const GgmlSearchKernel kGgmlSearch;
}
namespace avx512 {
extern const GgmlSearchKernel kGgmlSearch;
}
namespace neon {
extern const GgmlSearchKernel kGgmlSearch;
}

std::span<const GgmlSearchKernel* const> ggml_search_kernels() {
  static constexpr const GgmlSearchKernel* kKernels[] = {
    &reference::kGgmlSearch,
#if defined(__x86_64__)
    &avx2::kGgmlSearch,
    &avx512::kGgmlSearch
#elif defined(__aarch64__)
    &neon::kGgmlSearch
#endif
  };
  return kKernels;
}

const GgmlSearchKernel& ggml_search_kernel() {
  static const GgmlSearchKernel& kernel = best_kernel(ggml_search_kernels(), cpu_features());
  return kernel;
}

}  // namespace nibble::kernel
