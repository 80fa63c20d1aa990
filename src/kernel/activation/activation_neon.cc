// Activations on NEON.
#include "kernel/activation/activation.h"
#include "kernel/lanes/lanes_neon.h"
#include "kernel/softmax/exp_constants.h"

namespace nibble::kernel::neon {

#include "kernel/softmax/exp_lanes.inc"
// After the functions that it uses.
#include "kernel/activation/activation_lanes.inc"

extern const ActivationKernel kActivation;
const ActivationKernel kActivation = {{"activation", "activation_neon", kNeon}, gated, add_scaled, scale, softcap};

}  // namespace nibble::kernel::neon
