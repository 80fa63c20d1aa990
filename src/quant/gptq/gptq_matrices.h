// GPTQ over a whole model: every block linear, quantized on what the quantized blocks before it give.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "quant/calibration/block_stream.h"
#include "quant/gptq/gptq.h"

namespace nibble {

struct GptqSettings {
  GptqOptions options;
  double damping = 0.01;
  bool shrinkage = true;  ///< as much as shrinkage_for() says
  ColumnOrder order = ColumnOrder::kGroupAware;
};

/// What became of one linear.
struct GptqLinear {
  MatrixPtr matrix;
  double error = 0;  ///< |X (W - Q)^T|^2 / |X W^T|^2 on the calibration tokens
  double seconds = 0;
};

/// By linear; the embedding and the head are not among them.
Result<std::map<LinearId, GptqLinear>> gptq_matrices(const ModelWeights& weights, const CalibrationTokens& tokens,
                                                     const QuantScheme& scheme, const GptqSettings& settings,
                                                     const Progress& progress, ThreadPool& pool);

}  // namespace nibble
