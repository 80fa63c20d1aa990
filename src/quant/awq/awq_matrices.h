// AWQ over a whole model (algorithms.md 5): scales of the channels of every input, folded into what gives the input,
// then rounding to nearest on clipped ranges. Statistics are those of the model that is not quantized.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "quant/calibration/block_stream.h"
#include "quant/fold/folded_weights.h"

namespace nibble {

struct AwqSettings {
  bool clip = true;  ///< search clipped ranges, of all linears but q and k
};

/// What became of one linear.
struct AwqLinear {
  MatrixPtr matrix;      ///< quantized; its columns and rows are scaled as `folded` says
  double error = 0;      ///< |X (W - Q)^T|^2 / |X W^T|^2 on the calibration tokens, scales taken out again
  double rtn_error = 0;  ///< the same of W rounded to nearest as it is
  double seconds = 0;
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
  std::map<LinearId, AwqLinear> linears;  ///< of the blocks
  std::vector<AwqPoint> points;
};

/// Success when AWQ can produce `scheme`: integers of 2 to 8 bits, a scale per row or group of columns.
Status check_awq_scheme(const QuantScheme& scheme);

/// `weights` must outlive the result.
Result<AwqModel> awq_matrices(const ModelWeights& weights, const CalibrationTokens& tokens, const QuantScheme& scheme,
                              const AwqSettings& settings, const Progress& progress, ThreadPool& pool);

/// Only the scales, chosen for `scheme`: the model that another quantizer then runs on. `linears` is empty.
Result<AwqModel> awq_scaled_model(const ModelWeights& weights, const CalibrationTokens& tokens,
                                  const QuantScheme& scheme, const Progress& progress, ThreadPool& pool);

}  // namespace nibble
