// Activations on AVX2.
#include "kernel/activation/activation.h"
#include "kernel/lanes/lanes_avx2.h"
#include "kernel/softmax/exp_constants.h"

namespace nibble::kernel::avx2 {

#include "kernel/softmax/exp_lanes.inc"
// After the functions that it uses.
#include "kernel/activation/activation_lanes.inc"

extern const ActivationKernel kActivation;
const ActivationKernel kActivation = {
    {"activation", "activation_avx2", kAvx2 | kFma | kF16c}, gated, add_scaled, scale, softcap};

}  // namespace nibble::kernel::avx2
