// Error feedback on AVX2.
#include "kernel/error_feedback/error_feedback.h"
#include "kernel/lanes/lanes_avx2.h"

namespace nibble::kernel::avx2 {
namespace {

constexpr int kColumns = 4;

}  // namespace

#include "kernel/error_feedback/rounding.inc"

#include "kernel/error_feedback/feedback.inc"
#include "kernel/error_feedback/scale_search.inc"

extern const FeedbackKernel kFeedback;
const FeedbackKernel kFeedback = {{"error_feedback", "error_feedback_avx2", kAvx2 | kFma | kF16c},
                                  accumulate,
                                  compensate,
                                  quantize,
                                  trial,
                                  descend,
                                  bilinear,
                                  search_scale,
                                  search_zero,
                                  search_offset};

}  // namespace nibble::kernel::avx2
