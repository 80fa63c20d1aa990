// The searches on four lanes of any processor.
#include <cmath>
#include <utility>

#include "kernel/ggml_search/ggml_search.h"

namespace nibble::kernel::reference {
namespace {

constexpr int kLanes = 4;
typedef float F __attribute__((vector_size(4 * kLanes)));

F square_root(F x) {
  F out = {};
  for (int lane = 0; lane < kLanes; ++lane) out[lane] = std::sqrt(x[lane]);
  return out;
}

typedef std::int32_t Numbers __attribute__((vector_size(4 * kLanes)));
F choose(const float* table, Numbers i) {
  F out = {};
  for (int lane = 0; lane < kLanes; ++lane) out[lane] = table[i[lane]];
  return out;
}

}  // namespace

#include "kernel/ggml_search/ggml_search.inc"

extern const GgmlSearchKernel kGgmlSearch;
const GgmlSearchKernel kGgmlSearch = NIBBLE_GGML_SEARCH_KERNEL("ggml_search_reference", 0);

}  // namespace nibble::kernel::reference
