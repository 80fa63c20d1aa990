// What calibration knows of a linear's input: sums over all tokens.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"

namespace nibble {

struct InputGram {
  std::int64_t cols = 0;
  std::int64_t tokens = 0;
  std::vector<double> sums;        ///< [cols, cols], of x x^T; only i <= j is meant
  std::vector<double> plain_sums;  ///< [cols], of x
  std::vector<double> abs_sums;    ///< [cols], of |x|
  std::vector<double> drift;  ///< [cols, cols], of (x_original - x) x^T; empty: the original's inputs are not known

  explicit InputGram(std::int64_t width = 0)
      : cols(width),
        sums(static_cast<std::size_t>(width) * static_cast<std::size_t>(width)),
        plain_sums(static_cast<std::size_t>(width)),
        abs_sums(static_cast<std::size_t>(width)) {}

  /// Adds inputs, [tokens, cols] row-major, at most a few thousand at once. The same bits for any number of threads.
  void add(std::span<const float> x, ThreadPool& pool);
  /// Adds to the drift: `original` holds what the original model gives for the same tokens as `x`.
  void add_drift(std::span<const float> original, std::span<const float> x, ThreadPool& pool);
};

}  // namespace nibble
