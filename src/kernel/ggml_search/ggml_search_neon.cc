// The searches on four lanes of NEON.
#include <arm_neon.h>

#include <utility>

#include "kernel/ggml_search/ggml_search.h"

namespace nibble::kernel::neon {
namespace {

constexpr int kLanes = 4;
typedef float F __attribute__((vector_size(4 * kLanes)));

typedef std::int32_t Numbers __attribute__((vector_size(4 * kLanes)));
inline F square_root(F x) { return (F)vsqrtq_f32((float32x4_t)x); }
inline F choose(const float* table, Numbers i) {
  const uint8x16x4_t bytes = vld1q_u8_x4(reinterpret_cast<const std::uint8_t*>(table));
  const Numbers at = i * 0x04040404 + 0x03020100;  // the four bytes of each
  return (F)vqtbl4q_u8(bytes, (uint8x16_t)at);
}

}  // namespace

#include "kernel/ggml_search/ggml_search.inc"

extern const GgmlSearchKernel kGgmlSearch;
const GgmlSearchKernel kGgmlSearch = NIBBLE_GGML_SEARCH_KERNEL("ggml_search_neon", kNeon);

}  // namespace nibble::kernel::neon
