// The shift towards the unquantized target (algorithms.md 4.5, GPTAQ in closed form): weights that give, on the inputs
// of the quantized model, what the original weights give on those of the original model.
#pragma once

#include <cstdint>
#include <span>

#include "quant/gptq/second_order.h"

namespace nibble {

/// Adds alpha * W C H^-1 to W = `weights` [rows, cols], C the drift and H the damped second moments of `inputs`. alpha
/// 1 minimizes |W_old X_original^T - W X^T|^2 (and the damping's part); less shrinks it. Nothing happens where the
/// drift is not known or not finite, or H stands for no inputs.
void shift_towards_target(std::span<float> weights, std::int64_t rows, const SecondOrder& h, const InputGram& inputs,
                          float alpha, ThreadPool& pool);

}  // namespace nibble
