// The search on eight lanes of AVX-512, which has as many doubles.
#include "kernel/grid_search/grid_search.h"

namespace nibble::kernel::avx512 {
namespace {

constexpr int kLanes = 8;
typedef float F __attribute__((vector_size(4 * kLanes)));

}  // namespace

#include "kernel/grid_search/grid_search.inc"

extern const GridSearchKernel kGridSearch;
const GridSearchKernel kGridSearch{{"grid_search", "grid_search_avx512", kAvx512 | kAvx512Vnni | kAvx512Vbmi}, search};

}  // namespace nibble::kernel::avx512
