// The methods that look at calibration text, and what they have in common: tokens, journal, memory, output, report.
#pragma once

#include <string>

#include "nibble/quantize.h"
#include "quant/calibration/finished_linears.h"
#include "quant/choose_targets.h"

namespace nibble {

/// What a method is asked to do.
struct CalibratedRun {
  const ModelFiles& files;
  const CalibrationTokens& tokens;
  const QuantScheme& scheme;
  const QuantizeOptions& options;
  StreamOptions stream;
};

struct CalibratedMethod {
  std::string_view name;
  /// Why it cannot make a scheme, with the way out.
  Status (*check_scheme)(const QuantScheme& scheme);
  /// Bytes that it holds at most beside a block and a slice of activations.
  std::uint64_t (*bytes)(const ModelFiles& files, std::int64_t window, const QuantizeOptions& options);
  /// Finishes every block linear.
  Status (*run)(const CalibratedRun& run, FinishedLinears& finished, ThreadPool& pool);
};

/// By name; the error lists those that are known.
Result<const CalibratedMethod*> find_calibrated_method(const std::string& name);

/// What a run makes, of what, and where.
struct CalibratedOutput {
  const std::string& path;  ///< of the model
  const ModelFiles& files;
  const std::string& out;
  const QuantizeOptions& options;
  const QuantScheme& scheme;
  const OutputFormat& format;
  const OutputOptions& output;
};

/// Embedding and head, when asked for, are rounded to nearest.
Result<ConversionReport> quantize_calibrated(const CalibratedMethod& method, const CalibratedOutput& what,
                                             ThreadPool& pool);

}  // namespace nibble
