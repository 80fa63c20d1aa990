// Derivatives on AVX-512.
#include "kernel/gradient/gradient.h"
#include "kernel/lanes/lanes_avx512.h"
#include "kernel/softmax/exp_constants.h"

namespace nibble::kernel::avx512 {

#include "kernel/softmax/exp_lanes.inc"
// After the functions that it uses.
#include "kernel/gradient/gradient_lanes.inc"

extern const GradientKernel kGradient;
const GradientKernel kGradient = {
    {"gradient", "gradient_avx512", kAvx2 | kFma | kF16c | kAvx512}, gated, rms_norm, softmax, softcap};

}  // namespace nibble::kernel::avx512
