// Softmax on NEON.
#include "kernel/lanes/lanes_neon.h"
#include "kernel/softmax/exp_constants.h"
#include "kernel/softmax/softmax.h"

namespace nibble::kernel::neon {

#include "kernel/softmax/exp_lanes.inc"
// After the functions that it uses.
#include "kernel/softmax/softmax_lanes.inc"

extern const SoftmaxKernel kSoftmax;
const SoftmaxKernel kSoftmax = {{"softmax", "softmax_neon", kNeon}, row, maxima};

}  // namespace nibble::kernel::neon
