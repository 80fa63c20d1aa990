// Rounding on eight lanes of AVX2.
#include <utility>

#include "kernel/group_rounding/group_rounding.h"

namespace nibble::kernel::avx2 {
namespace {

constexpr int kLanes = 8;
typedef float F __attribute__((vector_size(4 * kLanes)));

}  // namespace

#include "kernel/group_rounding/group_rounding.inc"

extern const GroupRoundingKernel kGroupRounding;
const GroupRoundingKernel kGroupRounding{
    {"group_rounding", "group_rounding_avx2", kAvx2 | kFma | kF16c}, ranges, integers, entries};

}  // namespace nibble::kernel::avx2
