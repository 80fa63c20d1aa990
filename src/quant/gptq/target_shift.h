// The shift towards the unquantized target (algorithms.md 4.5, GPTAQ in closed form): weights that give, on the inputs
// of the quantized model, what the original weights give on those of the original model.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "quant/gptq/second_order.h"

namespace nibble {

/// The sum of (x_original - x) x^T over the inputs x of a linear, each beside the input of the same token in the
/// original model.
struct InputDrift {
  std::int64_t cols = 0;
  std::vector<double> sums;  ///< [cols, cols]

  explicit InputDrift(std::int64_t width = 0)
      : cols(width), sums(static_cast<std::size_t>(width) * static_cast<std::size_t>(width)) {}
};

/// Adds alpha * W C H^-1 to W = `weights` [rows, cols], C the drift and H the damped second moments of the same inputs
/// x. alpha 1 minimizes |W_old X_original^T - W X^T|^2 (and the damping's part); less shrinks it.
void shift_towards_target(std::span<float> weights, std::int64_t rows, const SecondOrder& h, const InputDrift& drift,
                          float alpha, ThreadPool& pool);

}  // namespace nibble
