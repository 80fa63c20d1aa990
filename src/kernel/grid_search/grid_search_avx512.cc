// The search on AVX-512: sixteen trials to a vector in float32, and eight in double.
#include "kernel/grid_search/grid_search.h"
#include "kernel/lanes/int_lanes_avx512.h"

namespace nibble::kernel::avx512 {

namespace exact {
namespace {

constexpr int kLanes = 8;
typedef float F __attribute__((vector_size(4 * kLanes)));

}  // namespace

#include "kernel/grid_search/grid_search.inc"

}  // namespace exact

#include "kernel/grid_search/grid_filter.inc"

extern const GridSearchKernel kGridSearch;
const GridSearchKernel kGridSearch{{"grid_search", "grid_search_avx512", kAvx512 | kAvx512Vnni | kAvx512Vbmi}, search};

}  // namespace nibble::kernel::avx512
