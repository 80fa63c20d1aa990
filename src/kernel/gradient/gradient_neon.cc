// Derivatives on NEON.
#include "kernel/gradient/gradient.h"
#include "kernel/lanes/lanes_neon.h"
#include "kernel/softmax/exp_constants.h"

namespace nibble::kernel::neon {

#include "kernel/softmax/exp_lanes.inc"
// After the functions that it uses.
#include "kernel/gradient/gradient_lanes.inc"

extern const GradientKernel kGradient;
const GradientKernel kGradient = {{"gradient", "gradient_neon", kNeon}, gated, rms_norm, softmax, softcap};

}  // namespace nibble::kernel::neon
