// The search on four lanes of AVX2, which has as many doubles.
#include "kernel/grid_search/grid_search.h"

namespace nibble::kernel::avx2 {
namespace {

constexpr int kLanes = 4;
typedef float F __attribute__((vector_size(4 * kLanes)));

}  // namespace

#include "kernel/grid_search/grid_search.inc"

extern const GridSearchKernel kGridSearch;
const GridSearchKernel kGridSearch{{"grid_search", "grid_search_avx2", kAvx2 | kFma | kF16c}, search};

}  // namespace nibble::kernel::avx2
