// The list of feedback kernels and the choice among them.
#include "kernel/error_feedback/error_feedback.h"

namespace nibble::kernel {

namespace reference {
extern const FeedbackKernel kFeedback;
}
namespace avx2 {
extern const FeedbackKernel kFeedback;
}
namespace avx512 {
extern const FeedbackKernel kFeedback;
}
namespace neon {
extern const FeedbackKernel kFeedback;
}

std::span<const FeedbackKernel* const> feedback_kernels() {
  static constexpr const FeedbackKernel* kKernels[] = {
    &reference::kFeedback,
#if defined(__x86_64__)
    &avx2::kFeedback,
    &avx512::kFeedback
#elif defined(__aarch64__)
    &neon::kFeedback
#endif
  };
  return kKernels;
}

const FeedbackKernel& feedback_kernel() {
  static const FeedbackKernel& kernel = best_kernel(feedback_kernels(), cpu_features());
  return kernel;
}

}  // namespace nibble::kernel
