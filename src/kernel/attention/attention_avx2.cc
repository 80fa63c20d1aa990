// Attention on AVX2.
#include "kernel/attention/attention.h"
#include "kernel/lanes/int_lanes_avx2.h"
#include "kernel/softmax/exp_constants.h"

namespace nibble::kernel::avx2 {

#include "kernel/softmax/exp_lanes.inc"
// After the functions that it uses.
#include "kernel/attention/attention_lanes.inc"

extern const AttentionKernel kAttention;
const AttentionKernel kAttention = {
    {"attention", "attention_avx2", kAvx2 | kFma | kF16c}, chunk, merge, finish, to_half};

}  // namespace nibble::kernel::avx2
