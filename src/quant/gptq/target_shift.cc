// Sixteen rows at a time: W C by the kernels of error feedback, then two triangular solves with the factor of H.
#include "quant/gptq/target_shift.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "kernel/error_feedback/error_feedback.h"

namespace nibble {
namespace {

constexpr std::int64_t kL = kernel::kFeedbackLanes;

/// The drift in the order of quantizing, divided as h is.
std::vector<float> ordered(const std::vector<double>& drift, const SecondOrder& h) {
  std::vector<float> out;
  out.reserve(drift.size());
  for (const std::int32_t row : h.order)
    for (const std::int32_t column : h.order) {
      const auto at =
          static_cast<std::size_t>(row) * static_cast<std::size_t>(h.cols) + static_cast<std::size_t>(column);
      out.push_back(static_cast<float>(drift[at] / h.mean_diagonal));
    }
  return out;
}

/// Replaces x by x U^-T D^-1, U and D of H.
void solve_upper(const SecondOrder& h, std::vector<float>& x) {
  for (std::int64_t k = h.cols; k-- > 0;) {
    const float* row = h.u.data() + k * h.cols;
    float* out = x.data() + k * kL;
    for (std::int64_t j = k + 1; j < h.cols; ++j)
      for (std::int64_t lane = 0; lane < kL; ++lane) out[lane] -= row[j] * x[static_cast<std::size_t>(j * kL + lane)];
  }
  for (std::int64_t i = 0; i < h.cols * kL; ++i)
    x[static_cast<std::size_t>(i)] /= h.d[static_cast<std::size_t>(i / kL)];
}

}  // namespace

void shift_towards_target(std::span<float> weights, std::int64_t rows, const SecondOrder& h, const InputGram& inputs,
                          float alpha, ThreadPool& pool) {
  NIBBLE_CHECK(inputs.cols == h.cols && static_cast<std::int64_t>(weights.size()) == rows * h.cols);
  const auto finite = [](double sum) { return std::isfinite(sum); };
  if (inputs.drift.empty() || !h.known || !std::all_of(inputs.drift.begin(), inputs.drift.end(), finite)) return;
  const std::vector<float> c = ordered(inputs.drift, h);
  const kernel::FeedbackKernel& kernel = kernel::feedback_kernel();
  const auto tiles = static_cast<std::size_t>((rows + kL - 1) / kL);
  pool.run(tiles, 1, [&](std::size_t begin, std::size_t end, int) {
    const auto size = static_cast<std::size_t>(h.cols * kL);
    std::vector<float> w(size), t(size), shift(size);
    const std::vector<float> zeros(size);
    for (std::size_t n = begin; n < end; ++n) {
      const std::int64_t first = static_cast<std::int64_t>(n) * kL;
      const std::int64_t lanes = std::min(kL, rows - first);
      const auto each = [&](auto&& act) {
        for (std::int64_t p = 0; p < h.cols; ++p)
          for (std::int64_t lane = 0; lane < lanes; ++lane)
            act(weights[static_cast<std::size_t>((first + lane) * h.cols + h.order[static_cast<std::size_t>(p)])],
                static_cast<std::size_t>(p * kL + lane));
      };
      std::fill(w.begin(), w.end(), 0.0f);
      each([&](float weight, std::size_t at) { w[at] = weight; });
      std::fill(t.begin(), t.end(), 0.0f);
      kernel.accumulate(c.data(), h.cols, 0, h.cols, w.data(), 0, h.cols, t.data());
      solve_upper(h, t);
      kernel.compensate(h.u.data(), h.cols, 0, h.cols, zeros.data(), t.data(), shift.data());
      each([&](float& weight, std::size_t at) { weight += alpha * shift[at]; });
    }
  });
}

}  // namespace nibble
