// The searches on sixteen lanes of AVX-512.
#include <utility>

#include "kernel/ggml_search/ggml_search.h"
#include "kernel/lanes/lanes_avx512.h"

namespace nibble::kernel::avx512 {
namespace {

constexpr int kLanes = 16;

inline F square_root(F x) { return _mm512_sqrt_ps(x); }
typedef std::int32_t Numbers __attribute__((vector_size(4 * kLanes)));
inline F choose(const float* table, Numbers i) { return _mm512_permutexvar_ps((__m512i)i, _mm512_loadu_ps(table)); }

}  // namespace

#include "kernel/ggml_search/ggml_search.inc"

extern const GgmlSearchKernel kGgmlSearch;
const GgmlSearchKernel kGgmlSearch =
    NIBBLE_GGML_SEARCH_KERNEL("ggml_search_avx512", kAvx512 | kAvx512Vnni | kAvx512Vbmi);

}  // namespace nibble::kernel::avx512
