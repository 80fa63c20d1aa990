// A calibrated run: what all methods have in common, from tokens to report.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/calibrated_methods.h"
#include "quant/choose_targets.h"

namespace nibble {

/// What a run makes, of what, and where.
struct CalibratedOutput {
  const std::string& path;  ///< of the model
  const ModelFiles& files;
  const std::string& out;
  const QuantizeOptions& options;
  /// What all get; with a budget in the options empty, and each gets one of `candidates`.
  const std::optional<QuantScheme>& scheme;
  const std::vector<QuantScheme>& candidates;
  const OutputFormat& format;
  const OutputOptions& output;
};

/// Embedding and head, when asked for, are rounded to nearest.
Result<ConversionReport> quantize_calibrated(const CalibratedMethod& method, const CalibratedOutput& what,
                                             ThreadPool& pool);

}  // namespace nibble
