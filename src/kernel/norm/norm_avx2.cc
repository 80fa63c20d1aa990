// Normalization on AVX2.
#include "kernel/lanes/lanes_avx2.h"
#include "kernel/norm/norm.h"

namespace nibble::kernel::avx2 {

#include "kernel/norm/norm_lanes.inc"

extern const NormKernel kNorm;
const NormKernel kNorm = {{"norm", "norm_avx2", kAvx2 | kFma | kF16c}, rms_norm, layer_norm};

}  // namespace nibble::kernel::avx2
