// Softmax on AVX2.
#include "kernel/lanes/lanes_avx2.h"
#include "kernel/softmax/exp_constants.h"
#include "kernel/softmax/softmax.h"

namespace nibble::kernel::avx2 {

#include "kernel/softmax/exp_lanes.inc"
// After the functions that it uses.
#include "kernel/softmax/softmax_lanes.inc"

extern const SoftmaxKernel kSoftmax;
const SoftmaxKernel kSoftmax = {{"softmax", "softmax_avx2", kAvx2 | kFma | kF16c}, row, maxima};

}  // namespace nibble::kernel::avx2
