// WNAM with a weight for every weight: codebooks fitted on the way of one backward pass through the original model.
#pragma once

#include "quant/calibration/finished_linears.h"
#include "quant/linear_schemes.h"
#include "quant/wnam/wnam_matrices.h"

namespace nibble {

/// Finishes every block linear that `finished` does not know already, the last block first, each weighted by its
/// squared gradients (bits/backward_walk.h) on at most 8192 of the tokens; errors are those on the original's inputs.
Status wnam_matrices_by_gradients(const ModelWeights& weights, const CalibrationTokens& tokens,
                                  const LinearSchemes& schemes, const WnamSettings& settings, std::uint64_t seed,
                                  const StreamOptions& stream, FinishedLinears& finished, ThreadPool& pool);

/// What it holds at most beside one block's packed matrices and a slice of activations.
std::uint64_t wnam_gradient_bytes(const ModelWeights& weights, std::int64_t window);

}  // namespace nibble
