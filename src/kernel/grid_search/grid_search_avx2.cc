// The search on AVX2: sixteen trials to a vector in float32, and four in double.
#include "kernel/grid_search/grid_search.h"
#include "kernel/lanes/int_lanes_avx2.h"

namespace nibble::kernel::avx2 {

namespace exact {
namespace {

constexpr int kLanes = 4;
typedef float F __attribute__((vector_size(4 * kLanes)));

}  // namespace

#include "kernel/grid_search/grid_search.inc"

}  // namespace exact

#include "kernel/grid_search/grid_filter.inc"

extern const GridSearchKernel kGridSearch;
const GridSearchKernel kGridSearch{{"grid_search", "grid_search_avx2", kAvx2 | kFma | kF16c}, search};

}  // namespace nibble::kernel::avx2
