// Widening on NEON.
#include "kernel/lanes/lanes_neon.h"
#include "kernel/widen/widen.h"

namespace nibble::kernel::neon {

#include "kernel/widen/widen_lanes.inc"

extern const WidenKernel kWiden;
const WidenKernel kWiden{{"widen", "widen_neon", kNeon}, half, to_half};

}  // namespace nibble::kernel::neon
