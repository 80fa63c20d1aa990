// Error feedback in portable code.
#include "kernel/error_feedback/error_feedback.h"
#include "kernel/lanes/lanes_reference.h"

namespace nibble::kernel::reference {
namespace {

constexpr int kColumns = 1;

}  // namespace

#include "kernel/error_feedback/rounding.inc"

#include "kernel/error_feedback/feedback.inc"
#include "kernel/error_feedback/scale_search.inc"

extern const FeedbackKernel kFeedback;
const FeedbackKernel kFeedback = {{"error_feedback", "error_feedback_reference", 0},
                                  accumulate,
                                  compensate,
                                  quantize,
                                  trial,
                                  descend,
                                  bilinear,
                                  search_scale,
                                  search_zero,
                                  search_offset};

}  // namespace nibble::kernel::reference
