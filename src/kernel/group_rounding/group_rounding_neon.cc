// Rounding on four lanes of NEON.
#include <utility>

#include "kernel/group_rounding/group_rounding.h"

namespace nibble::kernel::neon {
namespace {

constexpr int kLanes = 4;
typedef float F __attribute__((vector_size(4 * kLanes)));

}  // namespace

#include "kernel/group_rounding/group_rounding.inc"

extern const GroupRoundingKernel kGroupRounding;
const GroupRoundingKernel kGroupRounding{{"group_rounding", "group_rounding_neon", kNeon}, ranges, integers, entries};

}  // namespace nibble::kernel::neon
