// Widening on AVX2.
#include "kernel/lanes/lanes_avx2.h"
#include "kernel/widen/widen.h"

namespace nibble::kernel::avx2 {

#include "kernel/widen/widen_lanes.inc"

extern const WidenKernel kWiden;
const WidenKernel kWiden{{"widen", "widen_avx2", kAvx2 | kFma | kF16c}, half, to_half};

}  // namespace nibble::kernel::avx2
