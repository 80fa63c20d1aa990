// Packing into panels, the loop over pairs of panels, and the choice of the kernel.
#include "kernel/gram/gram.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"

namespace nibble::kernel {

namespace reference {
extern const GramKernel kGram;
}
namespace avx2 {
extern const GramKernel kGram;
}
namespace avx512 {
extern const GramKernel kGram;
}
namespace neon {
extern const GramKernel kGram;
}

std::span<const GramKernel* const> gram_kernels() {
  static constexpr const GramKernel* kKernels[] = {
    &reference::kGram,
#if defined(__x86_64__)
    &avx2::kGram,
    &avx512::kGram
#elif defined(__aarch64__)
    &neon::kGram
#endif
  };
  return kKernels;
}

void add_gram(const float* x, std::int64_t tokens, std::int64_t cols, std::int64_t ld, double* gram, ThreadPool& pool) {
  static const GramKernel& kernel = best_kernel(gram_kernels(), cpu_features());
  NIBBLE_CHECK(tokens >= 0 && cols >= 1 && ld >= cols);
  const std::int64_t panels = (cols + kGramPanel - 1) / kGramPanel;
  const std::int64_t panel_size = tokens * kGramPanel;
  std::vector<float> packed(static_cast<std::size_t>(panels * panel_size));
  pool.run(static_cast<std::size_t>(panels), 1, [&](std::size_t begin, std::size_t end, int) {
    for (auto p = static_cast<std::int64_t>(begin); p < static_cast<std::int64_t>(end); ++p) {
      const std::int64_t width = std::min(kGramPanel, cols - p * kGramPanel);
      for (std::int64_t t = 0; t < tokens; ++t)
        std::copy_n(x + t * ld + p * kGramPanel, width, packed.data() + p * panel_size + t * kGramPanel);
    }
  });
  std::vector<std::pair<std::int64_t, std::int64_t>> pairs;
  for (std::int64_t i = 0; i < panels; ++i)
    for (std::int64_t j = i; j < panels; ++j) pairs.emplace_back(i, j);
  pool.run(pairs.size(), 1, [&](std::size_t begin, std::size_t end, int) {
    alignas(64) float tile[kGramPanel * kGramPanel];
    for (std::size_t n = begin; n < end; ++n) {
      const auto [pi, pj] = pairs[n];
      kernel.tile(packed.data() + pi * panel_size, packed.data() + pj * panel_size, tokens, tile);
      const std::int64_t last_i = std::min(cols, (pi + 1) * kGramPanel);
      const std::int64_t last_j = std::min(cols, (pj + 1) * kGramPanel);
      for (std::int64_t i = pi * kGramPanel; i < last_i; ++i)
        for (std::int64_t j = std::max(i, pj * kGramPanel); j < last_j; ++j)
          gram[i * cols + j] += static_cast<double>(tile[(i - pi * kGramPanel) * kGramPanel + (j - pj * kGramPanel)]);
    }
  });
}

}  // namespace nibble::kernel
