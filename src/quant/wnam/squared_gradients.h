// How much each weight of a linear matters by itself: its squared gradients, summed over tokens (algorithms.md 6.2).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"

namespace nibble {

class SquaredGradients {
 public:
  SquaredGradients(std::int64_t rows, std::int64_t cols)
      : rows_(rows), cols_(cols), sums_(static_cast<std::size_t>(rows * cols)) {}

  /// Adds (d_y[t, r] x[t, c])^2 for every token: x [tokens, cols], d_y [tokens, rows]. The sum over tokens is one
  /// product of squares. The same bits for any number of threads.
  void add(std::span<const float> x, std::span<const float> d_y, ThreadPool& pool);

  /// [rows, cols]
  const std::vector<float>& sums() const { return sums_; }

  /// The sums over their mean, each at least a thousandth of its row's mean. Rows whose sums are of no use (NaN, all 0)
  /// have 1 everywhere.
  std::vector<float> importance() const;

 private:
  std::int64_t rows_;
  std::int64_t cols_;
  std::vector<float> sums_;
};

}  // namespace nibble
