// How much the KL divergence of a model from its original grows when linears are rounded, to second order and each unit
// by itself: one backward pass through the whole model.
//
// At the original the divergence and its gradient are 0; what it grows by is half the curvature along the change, and
// the curvature is the Fisher information: with tokens y drawn from the model's own distribution,
//
//   growth = 1 / (2 N) E_y [ (sum over positions t of g_t . E x_t)^2 ]    g_t = d log p(y) / d(output of the linear)
//
// for rounding errors E of a linear with inputs x_t on N tokens. The products are exact; positions are taken to be
// independent of each other, which leaves the sum of squares.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "model/model_weights.h"
#include "nibble/progress.h"
#include "quant/bits/bit_units.h"
#include "quant/calibration/block_runner.h"

namespace nibble {

/// What a sensitivity is asked of.
struct SensitivityTask {
  const ModelWeights& weights;
  const CalibrationTokens& tokens;
  const std::vector<BitUnit>& units;
  const std::vector<std::vector<QuantScheme>>& choices;  ///< schemes of each unit
  const std::vector<StoredActivations>&
      hidden;  ///< the input of every block, then of the head, in a BlockRunner's slices
  std::shared_ptr<ActivationStore> store;
  std::uint64_t seed = 0;  ///< of the tokens drawn
  Progress progress;
};

/// Nats per token, for each choice of each unit. Blocks go by one at a time. The same bits for any number of threads.
/// Errors: numbers that are not finite; stopped.
Result<std::vector<std::vector<double>>> rounding_sensitivity(const SensitivityTask& task, ThreadPool& pool);

/// What it holds at most beside one block's packed matrices, for `tokens` tokens in windows of `window`.
std::uint64_t sensitivity_bytes(const ModelWeights& weights, std::int64_t tokens, std::int64_t window);

}  // namespace nibble
