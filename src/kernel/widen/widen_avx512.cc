// Widening on AVX-512.
#include "kernel/lanes/lanes_avx512.h"
#include "kernel/widen/widen.h"

namespace nibble::kernel::avx512 {

#include "kernel/widen/widen_lanes.inc"

extern const WidenKernel kWiden;
const WidenKernel kWiden{{"widen", "widen_avx512", kAvx512 | kAvx512Vnni | kAvx512Vbmi}, half, to_half};

}  // namespace nibble::kernel::avx512
