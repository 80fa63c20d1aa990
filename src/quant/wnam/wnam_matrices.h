// WNAM over a whole model (algorithms.md 6): codebooks and scales that are weighted by how much each input column is
// used.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "quant/calibration/finished_linears.h"
#include "quant/linear_schemes.h"
#include "quant/wnam/codebooks.h"

namespace nibble {

struct WnamSettings {
  CodebookOptions fit;
  bool bias_correction = false;  ///< quant/gptq/output_bias.h
};

/// E[x^2] of every column, over their mean; columns that hardly any token used count a thousandth of it. 1 everywhere
/// where the sums are of no use (NaN, or no input at all).
std::vector<float> column_importance(const InputGram& gram);

/// What linears are fitted from, and where they go. What is referred to must outlive it.
struct WnamFitter {
  const ModelWeights& weights;
  const LinearSchemes& schemes;
  const WnamSettings& settings;
  FinishedLinears& finished;
  ThreadPool& pool;

  /// Of linears that share an input: fits codebooks to each, with importance(i) ([cols] or [rows, cols]) for number i,
  /// and what the scheme keeps beside them, and records it with its errors.
  Result<std::vector<MatrixPtr>> fit(std::span<const LinearId> linears, const InputGram& gram,
                                     const std::function<std::vector<float>(std::size_t)>& importance) const;
};

/// Finishes every block linear that `finished` does not know already, each on the inputs that the quantized linears
/// before it give; the embedding and the head are not among them.
Status wnam_matrices(const ModelWeights& weights, const CalibrationTokens& tokens, const LinearSchemes& schemes,
                     const WnamSettings& settings, StreamOptions stream, FinishedLinears& finished, ThreadPool& pool);

}  // namespace nibble
