// Rotary position embedding on AVX2.
#include "kernel/lanes/lanes_avx2.h"
#include "kernel/rope/rope.h"

namespace nibble::kernel::avx2 {

#include "kernel/rope/rope_lanes.inc"

extern const RopeKernel kRope;
const RopeKernel kRope = {{"rope", "rope_avx2", kAvx2 | kFma | kF16c}, rotate};

}  // namespace nibble::kernel::avx2
