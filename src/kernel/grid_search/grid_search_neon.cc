// The search on two lanes of NEON, which has as many doubles.
#include "kernel/grid_search/grid_search.h"

namespace nibble::kernel::neon {
namespace {

constexpr int kLanes = 2;
typedef float F __attribute__((vector_size(4 * kLanes)));

}  // namespace

#include "kernel/grid_search/grid_search.inc"

extern const GridSearchKernel kGridSearch;
const GridSearchKernel kGridSearch{{"grid_search", "grid_search_neon", kNeon}, search};

}  // namespace nibble::kernel::neon
