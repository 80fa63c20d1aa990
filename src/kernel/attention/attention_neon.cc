// Attention on NEON.
#include "kernel/attention/attention.h"
#include "kernel/lanes/int_lanes_neon.h"
#include "kernel/softmax/exp_constants.h"

namespace nibble::kernel::neon {

#include "kernel/softmax/exp_lanes.inc"
// After the functions that it uses.
#include "kernel/attention/attention_lanes.inc"

extern const AttentionKernel kAttention;
const AttentionKernel kAttention = {{"attention", "attention_neon", kNeon}, chunk, merge, finish, to_half};

}  // namespace nibble::kernel::neon
