// The searches on four lanes of NEON.
#include <arm_neon.h>

#include "kernel/ggml_search/ggml_search.h"

namespace nibble::kernel::neon {
namespace {

constexpr int kLanes = 4;
typedef float F __attribute__((vector_size(4 * kLanes)));

inline F square_root(F x) { return (F)vsqrtq_f32((float32x4_t)x); }

}  // namespace

#include "kernel/ggml_search/ggml_search.inc"

extern const GgmlSearchKernel kGgmlSearch;
const GgmlSearchKernel kGgmlSearch = NIBBLE_GGML_SEARCH_KERNEL("ggml_search_neon", kNeon);

}  // namespace nibble::kernel::neon
