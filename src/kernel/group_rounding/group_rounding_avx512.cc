// Rounding on sixteen lanes of AVX-512.
#include <utility>

#include "kernel/group_rounding/group_rounding.h"

namespace nibble::kernel::avx512 {
namespace {

constexpr int kLanes = 16;
typedef float F __attribute__((vector_size(4 * kLanes)));

}  // namespace

#include "kernel/group_rounding/group_rounding.inc"

extern const GroupRoundingKernel kGroupRounding;
const GroupRoundingKernel kGroupRounding{
    {"group_rounding", "group_rounding_avx512", kAvx512 | kAvx512Vnni | kAvx512Vbmi}, ranges, integers, entries};

}  // namespace nibble::kernel::avx512
