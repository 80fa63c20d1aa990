// Error feedback in portable code.
#include "kernel/error_feedback/error_feedback.h"
#include "kernel/lanes/lanes_reference.h"

namespace nibble::kernel::reference {
namespace {

constexpr int kColumns = 1;

}  // namespace

#include "kernel/error_feedback/error_feedback_lanes.inc"

extern const FeedbackKernel kFeedback;
const FeedbackKernel kFeedback = {{"error_feedback", "error_feedback_reference", 0},
                                  accumulate,
                                  compensate,
                                  quantize,
                                  descend,
                                  scale_terms,
                                  search_symmetric,
                                  search_asymmetric};

}  // namespace nibble::kernel::reference
