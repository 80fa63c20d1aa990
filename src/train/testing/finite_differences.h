// For tests: gradients against differences of a loss. The loss is computed in float32 by the executor under test and
// added up in double; five points, so that steps may be large enough for float32.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace nibble::testing {

inline double root_mean_square(std::span<const float> x) {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(v) * static_cast<double>(v);
  return std::sqrt(sum / static_cast<double>(std::max<std::size_t>(x.size(), 1)));
}

/// d loss / d x[i], errors of the fourth power of the step.
inline double five_point_slope(std::vector<float>& x, std::size_t i, double step, const std::function<double()>& loss) {
  const float kept = x[i];
  const auto at = [&](double offset) {
    x[i] = kept + static_cast<float>(offset);
    return loss();
  };
  // The steps as float32 made them.
  const double h = static_cast<double>((kept + static_cast<float>(step)) - kept);
  const double slope = (8.0 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12.0 * h);
  x[i] = kept;
  return slope;
}

/// gradient[i] is the slope of `loss` by x[i], for at most `samples` of the i, to `tolerance` of the largest gradient.
inline void expect_gradient(const std::string& what, std::vector<float>& x, std::span<const float> gradient,
                            const std::function<double()>& loss, std::size_t samples = 40, double tolerance = 2e-3) {
  ASSERT_EQ(gradient.size(), x.size()) << what;
  float largest = 0;
  for (const float g : gradient) largest = std::max(largest, std::fabs(g));
  ASSERT_GT(largest, 0.0f) << what;
  const double step = 0.03 * std::max(root_mean_square(x), 1e-3);
  std::mt19937 random(7);
  for (std::size_t n = 0; n < std::min(samples, x.size()); ++n) {
    const std::size_t i = x.size() <= samples ? n : random() % x.size();
    ASSERT_NEAR(static_cast<double>(gradient[i]), five_point_slope(x, i, step, loss),
                tolerance * static_cast<double>(largest))
        << what << " at " << i;
  }
}

}  // namespace nibble::testing
