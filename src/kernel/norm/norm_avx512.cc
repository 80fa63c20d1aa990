// Normalization on AVX-512.
#include "kernel/lanes/lanes_avx512.h"
#include "kernel/norm/norm.h"

namespace nibble::kernel::avx512 {

#include "kernel/norm/norm_lanes.inc"

extern const NormKernel kNorm;
const NormKernel kNorm = {{"norm", "norm_avx512", kAvx2 | kFma | kF16c | kAvx512}, rms_norm, layer_norm};

}  // namespace nibble::kernel::avx512
