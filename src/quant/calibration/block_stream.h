// The calibration driver: tokens go through a model block by block, and every linear is quantized on the inputs that it
// will see in the quantized model (algorithms.md 1.2). Memory holds one block and the activations between two.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "model/model_weights.h"
#include "nibble/progress.h"
#include "quant/gptq/second_order.h"

namespace nibble {

/// Gives what `linears`, which share an input with these second moments, are multiplied as from now on, in their order.
using QuantizeLinears =
    std::function<Result<std::vector<MatrixPtr>>(std::span<const LinearId> linears, const InputGram& gram)>;

struct CalibrationTokens {
  std::vector<std::int32_t> ids;  ///< windows back to back
  std::int64_t window = 0;
};

/// Runs the tokens through embedding and blocks, in float32. A model whose weights turn activations into NaN goes on:
/// statistics say what they hold.
Status stream_blocks(const ModelWeights& weights, const CalibrationTokens& tokens, const QuantizeLinears& quantize,
                     const Progress& progress, ThreadPool& pool);

}  // namespace nibble
