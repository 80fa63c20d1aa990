// Evaluation of a model beside its original, block by block: for models of which only a block at a time fits in memory.
#pragma once

#include "base/thread_pool.h"
#include "nibble/evaluate.h"
#include "nibble/progress.h"
#include "quant/calibration/block_runner.h"

namespace nibble {

/// What evaluate_windows() says, in float32 arithmetic, of two models with the same vocabulary. Activations wait as
/// `store` says.
Result<Evaluation> evaluate_blocks(const ModelWeights& model, const ModelWeights& original,
                                   const CalibrationTokens& tokens, const ActivationStore::Options& store,
                                   const Progress& progress, ThreadPool& pool);

}  // namespace nibble
