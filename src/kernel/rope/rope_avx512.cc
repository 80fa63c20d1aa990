// Rotary position embedding on AVX-512.
#include "kernel/lanes/lanes_avx512.h"
#include "kernel/rope/rope.h"

namespace nibble::kernel::avx512 {

#include "kernel/rope/rope_lanes.inc"

extern const RopeKernel kRope;
const RopeKernel kRope = {{"rope", "rope_avx512", kAvx2 | kFma | kF16c | kAvx512}, rotate};

}  // namespace nibble::kernel::avx512
