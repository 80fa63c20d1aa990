#include "quant/bits/likelihood_changes.h"

#include <algorithm>

#include "kernel/gemm/gemm.h"

namespace nibble {

void LikelihoodChanges::add_linear(const std::vector<float>& x, const std::vector<float>& d_y,
                                   const std::vector<float>& errors, std::int64_t cols, ThreadPool& pool) {
  using kernel::GemmInput;
  const auto tokens = static_cast<std::int64_t>(changes_.size());
  const std::int64_t rows = static_cast<std::int64_t>(errors.size()) / cols;
  std::vector<float> outputs(static_cast<std::size_t>(std::min(kTokensAtOnce, tokens) * rows));
  for (std::int64_t first = 0; first < tokens; first += kTokensAtOnce) {
    const std::int64_t count = std::min(kTokensAtOnce, tokens - first);
    kernel::gemm({GemmInput::rows(x.data() + first * cols, cols), GemmInput::transposed(errors.data(), cols), count,
                  rows, cols, outputs.data(), rows, false},
                 pool);
    pool.run(static_cast<std::size_t>(count), 16, [&](std::size_t begin, std::size_t end, int) {
      for (std::size_t t = begin; t < end; ++t) {
        const float* output = outputs.data() + static_cast<std::int64_t>(t) * rows;
        const float* gradient = d_y.data() + (first + static_cast<std::int64_t>(t)) * rows;
        double sum = 0;
        for (std::int64_t r = 0; r < rows; ++r) sum += static_cast<double>(output[r] * gradient[r]);
        changes_[static_cast<std::size_t>(first) + t] += sum;
      }
    });
  }
}

double LikelihoodChanges::growth() const {
  double sum = 0;
  for (const double change : changes_) sum += change * change;
  return 0.5 * sum / static_cast<double>(changes_.size());
}

}  // namespace nibble
