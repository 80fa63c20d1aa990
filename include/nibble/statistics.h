// Saved statistics: what calibration knows of a model's inputs, for quantizing it several times without running it.
#pragma once

#include <cstdint>
#include <string>

#include "nibble/progress.h"
#include "nibble/quantize.h"
#include "nibble/result.h"

namespace nibble {

struct StatisticsOptions {
  CalibrationOptions calibration;
  std::uint64_t max_memory = 0;  ///< as QuantizeOptions has it
  int threads = 0;
  Progress progress;
};

struct StatisticsReport {
  std::int64_t groups = 0;  ///< of matrices that share an input
  std::int64_t tokens = 0;
  std::uint64_t bytes = 0;  ///< of the file
  double seconds = 0;
};

/// Runs `model` over the calibration windows once, block by block, and writes the second moments and means of every
/// block linear's inputs to `out`, a safetensors file (docs/formats/statistics.md) that QuantizeOptions::statistics
/// names. It appears whole or not at all.
Result<StatisticsReport> make_statistics(const std::string& model, const std::string& out,
                                         const StatisticsOptions& options);

}  // namespace nibble
