// Activations on AVX-512.
#include "kernel/activation/activation.h"
#include "kernel/lanes/lanes_avx512.h"
#include "kernel/softmax/exp_constants.h"

namespace nibble::kernel::avx512 {

#include "kernel/softmax/exp_lanes.inc"
// After the functions that it uses.
#include "kernel/activation/activation_lanes.inc"

extern const ActivationKernel kActivation;
const ActivationKernel kActivation = {
    {"activation", "activation_avx512", kAvx2 | kFma | kF16c | kAvx512}, gated, add_scaled, scale, softcap};

}  // namespace nibble::kernel::avx512
