// Derivatives on AVX2.
#include "kernel/gradient/gradient.h"
#include "kernel/lanes/lanes_avx2.h"
#include "kernel/softmax/exp_constants.h"

namespace nibble::kernel::avx2 {

#include "kernel/softmax/exp_lanes.inc"
// After the functions that it uses.
#include "kernel/gradient/gradient_lanes.inc"

extern const GradientKernel kGradient;
const GradientKernel kGradient = {
    {"gradient", "gradient_avx2", kAvx2 | kFma | kF16c}, gated, rms_norm, softmax, softcap};

}  // namespace nibble::kernel::avx2
