// Normalization on NEON.
#include "kernel/lanes/lanes_neon.h"
#include "kernel/norm/norm.h"

namespace nibble::kernel::neon {

#include "kernel/norm/norm_lanes.inc"

extern const NormKernel kNorm;
const NormKernel kNorm = {{"norm", "norm_neon", kNeon}, rms_norm, layer_norm};

}  // namespace nibble::kernel::neon
