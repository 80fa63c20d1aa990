// The search on four lanes of any processor.
#include "kernel/grid_search/grid_search.h"

namespace nibble::kernel::reference {
namespace {

constexpr int kLanes = 4;
typedef float F __attribute__((vector_size(4 * kLanes)));

}  // namespace

#include "kernel/grid_search/grid_search.inc"

extern const GridSearchKernel kGridSearch;
const GridSearchKernel kGridSearch{{"grid_search", "grid_search_reference", 0}, search};

}  // namespace nibble::kernel::reference
