// Error feedback on NEON.
#include "kernel/error_feedback/error_feedback.h"
#include "kernel/lanes/lanes_neon.h"

namespace nibble::kernel::neon {
namespace {

constexpr int kColumns = 4;

}  // namespace

#include "kernel/error_feedback/rounding.inc"

#include "kernel/error_feedback/feedback.inc"
#include "kernel/error_feedback/scale_search.inc"

extern const FeedbackKernel kFeedback;
const FeedbackKernel kFeedback = {{"error_feedback", "error_feedback_neon", kNeon},
                                  accumulate,
                                  compensate,
                                  quantize,
                                  trial,
                                  descend,
                                  bilinear,
                                  search_scale,
                                  search_zero,
                                  search_offset};

}  // namespace nibble::kernel::neon
