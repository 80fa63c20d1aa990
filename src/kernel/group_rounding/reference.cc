// Rounding on four lanes of any processor.
#include <utility>

#include "kernel/group_rounding/group_rounding.h"

namespace nibble::kernel::reference {
namespace {

constexpr int kLanes = 4;
typedef float F __attribute__((vector_size(4 * kLanes)));

}  // namespace

#include "kernel/group_rounding/group_rounding.inc"

extern const GroupRoundingKernel kGroupRounding;
const GroupRoundingKernel kGroupRounding{{"group_rounding", "group_rounding_reference", 0}, ranges, integers, entries};

}  // namespace nibble::kernel::reference
