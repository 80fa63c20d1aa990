// AWQ over a whole model (algorithms.md 5): scales of the channels of every input, folded into what gives the input,
// then rounding to nearest on clipped ranges. Statistics are those of the model that is not quantized.
#pragma once

#include <memory>
#include <string>

#include "quant/calibration/finished_linears.h"
#include "quant/fold/folded_weights.h"
#include "quant/linear_schemes.h"

namespace nibble {

struct AwqSettings {
  bool clip = true;              ///< search clipped ranges, of all linears but q and k
  bool bias_correction = false;  ///< quant/gptq/output_bias.h; later statistics stay those of the original
};

/// How the search at the linears that share an input went.
struct AwqPoint {
  std::string name;           ///< of the first of them
  double loss = 0;            ///< of the chosen scales, as a part of the loss without scales; before clipping
  std::size_t candidate = 0;  ///< 0: none is better than 1
};

struct AwqModel {
  /// The same model with its channels scaled: what the matrices were made from. Its changes() belong into the output.
  std::shared_ptr<const FoldedWeights> folded;
  std::vector<AwqPoint> points;  ///< of blocks that no interrupted run had finished
};

/// Success when AWQ can produce `scheme`: integers of 2 to 8 bits, a scale per row or group of columns.
Status check_awq_scheme(const QuantScheme& scheme);

/// Finishes every block linear that `finished` does not know already; their columns and rows are scaled as `folded`
/// says, their errors have the scales taken out again. Blocks are recorded as a whole. `weights` must outlive the
/// result.
Result<AwqModel> awq_matrices(const ModelWeights& weights, const CalibrationTokens& tokens,
                              const LinearSchemes& schemes, const AwqSettings& settings, StreamOptions stream,
                              FinishedLinears& finished, ThreadPool& pool);

/// Only the scales, chosen for `schemes`, recorded in the journal (which may be null): the model that another quantizer
/// then runs on.
Result<AwqModel> awq_scaled_model(const ModelWeights& weights, const CalibrationTokens& tokens,
                                  const LinearSchemes& schemes, StreamOptions stream, Journal* journal,
                                  ThreadPool& pool);

}  // namespace nibble
