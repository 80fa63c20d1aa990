#include "quant/wnam/squared_gradients.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "kernel/gemm/gemm.h"

namespace nibble {
namespace {

std::vector<float> squares(std::span<const float> numbers) {
  std::vector<float> out(numbers.begin(), numbers.end());
  for (float& number : out) number *= number;
  return out;
}

bool is_useful(double sum) { return std::isfinite(sum) && sum > 0; }

}  // namespace

void SquaredGradients::add(std::span<const float> x, std::span<const float> d_y, ThreadPool& pool) {
  const std::int64_t tokens = static_cast<std::int64_t>(x.size()) / cols_;
  NIBBLE_CHECK(static_cast<std::int64_t>(x.size()) == tokens * cols_ &&
               static_cast<std::int64_t>(d_y.size()) == tokens * rows_);
  const std::vector<float> of_input = squares(x);
  const std::vector<float> of_gradient = squares(d_y);
  kernel::gemm({kernel::GemmInput::transposed(of_gradient.data(), rows_),
                kernel::GemmInput::rows(of_input.data(), cols_), rows_, cols_, tokens, sums_.data(), cols_, true},
               pool);
}

std::vector<float> SquaredGradients::importance() const {
  constexpr double kLeast = 1e-3;
  std::vector<double> means;
  double useful = 0;
  double all = 0;
  for (auto row = sums_.begin(); row != sums_.end(); row += cols_) {
    means.push_back(std::accumulate(row, row + cols_, 0.0) / static_cast<double>(cols_));
    if (!is_useful(means.back())) continue;
    all += means.back();
    ++useful;
  }
  std::vector<float> out(sums_.size(), 1.0f);
  for (std::size_t r = 0; r < means.size(); ++r) {
    if (!is_useful(means[r])) continue;
    for (std::size_t i = r * static_cast<std::size_t>(cols_); i < (r + 1) * static_cast<std::size_t>(cols_); ++i)
      out[i] = static_cast<float>(std::max(static_cast<double>(sums_[i]), kLeast * means[r]) * useful / all);
  }
  return out;
}

}  // namespace nibble
