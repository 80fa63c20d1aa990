// The searches on eight lanes of AVX2.
#include <immintrin.h>

#include <utility>

#include "kernel/ggml_search/ggml_search.h"

namespace nibble::kernel::avx2 {
namespace {

constexpr int kLanes = 8;
typedef float F __attribute__((vector_size(4 * kLanes)));

inline F square_root(F x) { return (F)_mm256_sqrt_ps((__m256)x); }
typedef std::int32_t Numbers __attribute__((vector_size(4 * kLanes)));
inline F choose(const float* table, Numbers i) {
  const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), (__m256i)i);
  const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), (__m256i)i);
  return (F)_mm256_blendv_ps(low, high, (__m256)(i << 28));
}

}  // namespace

#include "kernel/ggml_search/ggml_search.inc"

extern const GgmlSearchKernel kGgmlSearch;
const GgmlSearchKernel kGgmlSearch = NIBBLE_GGML_SEARCH_KERNEL("ggml_search_avx2", kAvx2 | kFma | kF16c);

}  // namespace nibble::kernel::avx2
