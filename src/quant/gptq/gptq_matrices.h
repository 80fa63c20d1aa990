// GPTQ over a whole model: every block linear, quantized on what the quantized blocks before it give.
#pragma once

#include "quant/calibration/finished_linears.h"
#include "quant/gptq/gptq.h"
#include "quant/linear_schemes.h"

namespace nibble {

struct GptqSettings {
  GptqOptions options;
  double damping = 0.01;
  bool shrinkage = true;  ///< as much as shrinkage_for() says
  ColumnOrder order = ColumnOrder::kGroupAware;
  bool act_order = false;        ///< quant/gptq/act_order.h, in place of `order`
  bool static_groups = false;    ///< quant/gptq/static_groups.h, in place of `order`; no sweeps
  bool bias_correction = false;  ///< quant/gptq/output_bias.h
  float target_shift = 0;        ///< alpha of shift_towards_target(); 0: the original's activations are not computed
};

/// Finishes every block linear that `finished` does not know already; the embedding and the head are not among them.
Status gptq_matrices(const ModelWeights& weights, const CalibrationTokens& tokens, const LinearSchemes& schemes,
                     const GptqSettings& settings, StreamOptions stream, FinishedLinears& finished, ThreadPool& pool);

}  // namespace nibble
