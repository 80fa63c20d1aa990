// Softmax on AVX-512.
#include "kernel/lanes/lanes_avx512.h"
#include "kernel/softmax/exp_constants.h"
#include "kernel/softmax/softmax.h"

namespace nibble::kernel::avx512 {

#include "kernel/softmax/exp_lanes.inc"
// After the functions that it uses.
#include "kernel/softmax/softmax_lanes.inc"

extern const SoftmaxKernel kSoftmax;
const SoftmaxKernel kSoftmax = {{"softmax", "softmax_avx512", kAvx2 | kFma | kF16c | kAvx512}, row, maxima};

}  // namespace nibble::kernel::avx512
