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
  double error = 0;  ///< |X (W - Q)^T|^2 / |X W^T|^2 on the calibration tokens
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
