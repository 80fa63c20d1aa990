// Rotary position embedding on NEON.
#include "kernel/lanes/lanes_neon.h"
#include "kernel/rope/rope.h"

namespace nibble::kernel::neon {

#include "kernel/rope/rope_lanes.inc"

extern const RopeKernel kRope;
const RopeKernel kRope = {{"rope", "rope_neon", kNeon}, rotate};

}  // namespace nibble::kernel::neon
