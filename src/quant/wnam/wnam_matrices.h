// WNAM over a whole model (algorithms.md 6): codebooks and scales that are weighted by how much each input column is
// used.
#pragma once

#include <map>

#include "quant/calibration/block_stream.h"
#include "quant/wnam/codebooks.h"

namespace nibble {

struct WnamSettings {
  CodebookOptions fit;
};

/// What became of one linear.
struct WnamLinear {
  MatrixPtr matrix;
  double error = 0;  ///< sum of h (w - q)^2 / sum of h w^2, h being the mean square of the input column
  double seconds = 0;
};

/// E[x^2] of every column, over their mean; columns that hardly any token used count a thousandth of it. 1 everywhere
/// where the sums are of no use (NaN, or no input at all).
std::vector<float> column_importance(const InputGram& gram);

/// By linear, each on the inputs that the quantized linears before it give; embedding and head are not among them.
Result<std::map<LinearId, WnamLinear>> wnam_matrices(const ModelWeights& weights, const CalibrationTokens& tokens,
                                                     const QuantScheme& scheme, const WnamSettings& settings,
                                                     const Progress& progress, ThreadPool& pool);

}  // namespace nibble
