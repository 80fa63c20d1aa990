// The table of rotations, the choice of the kernel and the loop over tokens.
#include "kernel/rope/rope.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace nibble::kernel {

namespace reference {
extern const RopeKernel kRope;
}
namespace avx2 {
extern const RopeKernel kRope;
}
namespace avx512 {
extern const RopeKernel kRope;
}
namespace neon {
extern const RopeKernel kRope;
}

std::span<const RopeKernel* const> rope_kernels() {
  static constexpr const RopeKernel* kKernels[] = {
    &reference::kRope,
#if defined(__x86_64__)
    &avx2::kRope,
    &avx512::kRope
#elif defined(__aarch64__)
    &neon::kRope
#endif
  };
  return kKernels;
}

RopeTable::RopeTable(RopeFrequencies frequencies, std::int64_t max_positions)
    : frequencies_(std::move(frequencies)), max_positions_(max_positions) {
  NIBBLE_CHECK(max_positions >= 1 && !frequencies_.inv_freq.empty());
  pages_ = std::make_unique<Page[]>(static_cast<std::size_t>((max_positions + kPagePositions - 1) / kPagePositions));
}

const float* RopeTable::row(std::int64_t position) const {
  NIBBLE_CHECK(position >= 0 && position < max_positions_);
  const std::size_t half = frequencies_.inv_freq.size();
  Page& page = pages_[static_cast<std::size_t>(position / kPagePositions)];
  std::call_once(page.once, [&] {
    page.values = std::make_unique<float[]>(static_cast<std::size_t>(kPagePositions) * 2 * half);
    const std::int64_t first = position / kPagePositions * kPagePositions;
    for (std::int64_t i = 0; i < kPagePositions; ++i) {
      float* cosines = page.values.get() + static_cast<std::size_t>(i) * 2 * half;
      for (std::size_t m = 0; m < half; ++m) {
        const double angle = frequencies_.inv_freq[m] * static_cast<float>(first + i);
        cosines[m] = static_cast<float>(std::cos(angle)) * frequencies_.attention_factor;
        cosines[half + m] = static_cast<float>(std::sin(angle)) * frequencies_.attention_factor;
      }
    }
  });
  return page.values.get() + static_cast<std::size_t>(position % kPagePositions) * 2 * half;
}

void rope_rotate_half(const float* x, std::int64_t tokens, int heads, int head_dim, int rotary_dim, std::int64_t ld,
                      const std::int32_t* positions, const RopeTable& table, float* out, ThreadPool& pool) {
  NIBBLE_CHECK(tokens >= 0 && rotary_dim == table.rotary_dim() && rotary_dim <= head_dim);
  static const RopeKernel& kernel = best_kernel(rope_kernels(), cpu_features());
  const int half = rotary_dim / 2;
  const auto grain = static_cast<std::size_t>(std::max(1, 16384 / std::max(1, heads * head_dim)));
  pool.run(static_cast<std::size_t>(tokens), grain, [&](std::size_t begin, std::size_t end, int) {
    for (auto t = static_cast<std::int64_t>(begin); t < static_cast<std::int64_t>(end); ++t) {
      const float* row = table.row(positions[t]);
      if (out != x) std::copy_n(x + t * ld, static_cast<std::int64_t>(heads) * head_dim, out + t * ld);
      kernel.rotate(out + t * ld, heads, head_dim, half, row, row + half);
    }
  });
}

}  // namespace nibble::kernel
