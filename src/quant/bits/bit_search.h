// Choosing the bits of every matrix of a model within a budget (algorithms.md 20).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "model/model_weights.h"
#include "nibble/progress.h"
#include "quant/bits/growth_correction.h"
#include "quant/calibration/block_runner.h"

namespace nibble {

/// What the choice is made from.
struct BitSearchTask {
  const ModelWeights& weights;
  const CalibrationTokens& tokens;  ///< see bit_search_tokens()
  const std::vector<BitUnit>& units;
  std::vector<UnitChoices> choices;  ///< of each unit; growths are filled in
  double bits = 0;                   ///< per weight, about what the budget comes to
  std::uint64_t seed = 0;
  ActivationStore::Options store;
  Progress progress;
};

struct WeighedChoices {
  std::vector<UnitChoices> choices;  ///< with growths
  std::vector<MeasuredSubstitution> substitutions;
};

/// The first 256 tokens (or the whole) of windows that are spread evenly over the calibration tokens, 4096 tokens in
/// all where there are as many.
CalibrationTokens bit_search_tokens(const CalibrationTokens& calibration);

/// Predicts by one backward pass what every choice adds to the divergence, and corrects that by 20 substitutions at
/// most. The same bits for any number of threads.
Result<WeighedChoices> weigh_choices(BitSearchTask task, ThreadPool& pool);

/// What weighing holds at most beside one block's packed matrices and a slice of activations.
std::uint64_t bit_search_bytes(const ModelWeights& weights, const std::vector<QuantScheme>& candidates,
                               std::int64_t window);

}  // namespace nibble
