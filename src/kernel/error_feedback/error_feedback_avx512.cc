// Error feedback on AVX-512.
#include "kernel/error_feedback/error_feedback.h"
#include "kernel/lanes/lanes_avx512.h"

namespace nibble::kernel::avx512 {
namespace {

constexpr int kColumns = 8;

}  // namespace

#include "kernel/error_feedback/rounding.inc"

#include "kernel/error_feedback/feedback.inc"
#include "kernel/error_feedback/scale_search.inc"

extern const FeedbackKernel kFeedback;
const FeedbackKernel kFeedback = {{"error_feedback", "error_feedback_avx512", kAvx2 | kFma | kF16c | kAvx512},
                                  accumulate,
                                  compensate,
                                  quantize,
                                  trial,
                                  descend,
                                  bilinear,
                                  search_scale,
                                  search_zero,
                                  search_offset};

}  // namespace nibble::kernel::avx512
