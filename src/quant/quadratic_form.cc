#include "quant/quadratic_form.h"

#include <algorithm>
#include <cmath>

namespace nibble {
namespace {

constexpr std::int64_t kL = kernel::kFeedbackLanes;
constexpr std::int64_t kPanel = 16;

/// Numbers of all panels before the one that begins at `column`.
std::size_t panel_position(std::int64_t column) {
  const std::int64_t p = column / kPanel;
  return static_cast<std::size_t>(p * (p + 1) / 2 * kPanel * kPanel);
}

}  // namespace

double gram_unit(const InputGram& gram) {
  double trace = 0;
  bool finite = true;
  for (const double sum : gram.sums) finite = finite && std::isfinite(sum);
  for (std::int64_t c = 0; c < gram.cols; ++c) trace += gram.sums[static_cast<std::size_t>(c * gram.cols + c)];
  return finite && trace > 0 ? static_cast<double>(gram.cols) / trace : 0.0;
}

QuadraticForm::QuadraticForm(const InputGram& gram, std::int64_t from, std::int64_t to, double unit,
                             std::span<const float> factors)
    : cols_(to - from), is_unknown_(unit == 0) {
  const std::int64_t padded = (cols_ + kPanel - 1) / kPanel * kPanel;
  panels_.assign(panel_position(padded), 0.0f);
  if (unit == 0) return;
  const auto factor = [&](std::int64_t j) {
    return factors.empty() ? 1.0 : static_cast<double>(factors[static_cast<std::size_t>(j)]);
  };
  for (std::int64_t k = 0; k < cols_; ++k) {
    const std::int64_t first = k / kPanel * kPanel;
    float* panel = panels_.data() + panel_position(first) + (k - first);
    for (std::int64_t j = 0; j < std::min(cols_, first + kPanel); ++j) {
      const std::int64_t a = from + std::min(j, k);
      const std::int64_t b = from + std::max(j, k);
      const double h = gram.sums[static_cast<std::size_t>(a * gram.cols + b)] * unit * factor(a) * factor(b);
      panel[j * kPanel] = static_cast<float>(j < first ? 2 * h : h);
    }
  }
}

void QuadraticForm::evaluate(const float* e, double* out) const {
  static const kernel::FeedbackKernel& kernel = kernel::feedback_kernel();
  std::fill_n(out, kL, 0.0);
  for (std::int64_t first = 0; first < cols_; first += kPanel) {
    const std::int64_t width = std::min(kPanel, cols_ - first);
    float t[kPanel * kL] = {};
    kernel.accumulate(panels_.data() + panel_position(first), kPanel, 0, first + width, e, 0, width, t);
    float sums[kL] = {};
    for (std::int64_t k = 0; k < width; ++k)
      for (std::int64_t lane = 0; lane < kL; ++lane) sums[lane] += e[(first + k) * kL + lane] * t[k * kL + lane];
    for (std::int64_t lane = 0; lane < kL; ++lane) out[lane] += static_cast<double>(sums[lane]);
  }
}

}  // namespace nibble
