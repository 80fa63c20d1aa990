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
  /// With a budget in the options empty, and each linear gets one of `candidates`.
  const std::optional<LinearSchemes>& schemes;
  const std::vector<QuantScheme>& candidates;
  bool with_head;  ///< embedding and head too, rounded to nearest
  const OutputFormat& format;
  const OutputOptions& output;
};

Result<ConversionReport> quantize_calibrated(const CalibratedMethod& method, const CalibratedOutput& what,
                                             ThreadPool& pool);

}  // namespace nibble
