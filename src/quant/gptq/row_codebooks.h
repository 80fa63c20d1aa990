// Codebooks for error feedback: fitted beforehand on the weights divided by their scales, each error counted as often
// as the layer's output feels it (algorithms.md 4.7, 6.2, 6.3).
#pragma once

#include <span>
#include <vector>

#include "quant/gptq/grid_shape.h"
#include "quant/gptq/level_tables.h"
#include "quant/gptq/second_order.h"

namespace nibble {

/// Each lane's tables from its own weights w [cols][16]. With scales, fits codebooks and scales in turn, `rounds`
/// times.
void fit_row_codebooks(const SecondOrder& h, const std::vector<ColumnRun>& runs, bool has_scale, const float* w,
                       int rounds, LevelTables& tables);

/// One codebook for a matrix [rows, cols] whose scales span `run` columns (0: no scales).
std::vector<float> fit_tensor_codebook(std::span<const float> weights, const SecondOrder& h, std::int64_t run,
                                       const QuantScheme& scheme);

}  // namespace nibble
