// The calibration driver: tokens go through a model block by block, and every linear is quantized on the inputs that it
// will see in the quantized model (algorithms.md 1.2). Memory holds one block, and what activations its store
// keeps there.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "model/model_weights.h"
#include "nibble/progress.h"
#include "quant/calibration/block_runner.h"
#include "quant/gptq/second_order.h"

namespace nibble {

/// Gives what `linears`, which share an input with these second moments, are multiplied as from now on, in their order.
using QuantizeLinears =
    std::function<Result<std::vector<MatrixPtr>>(std::span<const LinearId> linears, const InputGram& gram)>;

/// Gives what the linears are multiplied by, where that is known already: their statistics are not needed then.
using KnownLinears = std::function<std::optional<std::vector<MatrixPtr>>(std::span<const LinearId> linears)>;

/// Gives what the linears' common input is like, where an earlier run has found out.
using SavedGrams = std::function<Result<InputGram>(std::span<const LinearId> linears)>;

/// Says that `done` of the blocks are quantized. kCancelled, with the way on, where that is answered by "stop".
Status report_blocks(const Progress& progress, std::int64_t done, std::int64_t blocks);

struct StreamOptions {
  KnownLinears known;  ///< empty: nothing is
  SavedGrams saved;    ///< in place of running the model, whose tokens are then not looked at; empty: it runs
  /// What a linear adds from now on in place of its bias, once it is quantized; null: its own. Empty: all their own.
  std::function<const std::vector<float>*(LinearId id)> bias;
  ActivationStore::Options store;  ///< of activations
  Progress progress;
  bool drift = false;  ///< the original goes along, and statistics hold the drift
};

/// Runs the tokens through embedding and blocks, in float32. A model whose weights turn activations into NaN goes on:
/// statistics say what they hold. With saved statistics the same linears in the same order, and nothing is run.
Status stream_blocks(const ModelWeights& weights, const CalibrationTokens& tokens, const QuantizeLinears& quantize,
                     const StreamOptions& options, ThreadPool& pool);

}  // namespace nibble
