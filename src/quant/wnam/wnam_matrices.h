// WNAM over a whole model (algorithms.md 6): codebooks and scales that are weighted by how much each input column is
// used.
#pragma once

#include "quant/calibration/finished_linears.h"
#include "quant/linear_schemes.h"
#include "quant/wnam/codebooks.h"

namespace nibble {

struct WnamSettings {
  CodebookOptions fit;
};

/// E[x^2] of every column, over their mean; columns that hardly any token used count a thousandth of it. 1 everywhere
/// where the sums are of no use (NaN, or no input at all).
std::vector<float> column_importance(const InputGram& gram);

/// Fits codebooks to a linear with this importance ([cols] or [rows, cols]), and what the scheme keeps beside them, and
/// records it with its errors on the inputs of `gram`.
Result<MatrixPtr> fit_linear(const ModelWeights& weights, LinearId id, std::span<const float> importance,
                             const LinearSchemes& schemes, const WnamSettings& settings, const InputGram& gram,
                             FinishedLinears& finished, ThreadPool& pool);

/// Finishes every block linear that `finished` does not know already, each on the inputs that the quantized linears
/// before it give; the embedding and the head are not among them.
Status wnam_matrices(const ModelWeights& weights, const CalibrationTokens& tokens, const LinearSchemes& schemes,
                     const WnamSettings& settings, StreamOptions stream, FinishedLinears& finished, ThreadPool& pool);

}  // namespace nibble
