// The methods that look at calibration tokens: one list.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "model/model_files.h"
#include "nibble/quantize.h"
#include "quant/calibration/finished_linears.h"
#include "quant/fold/folded_weights.h"

namespace nibble {

/// What a method is asked to do.
struct CalibratedRun {
  const ModelFiles& files;
  const CalibrationTokens& tokens;
  const QuantScheme& scheme;
  const QuantizeOptions& options;
  StreamOptions stream;
};

/// What a method makes besides the matrices.
struct CalibratedModel {
  std::shared_ptr<const FoldedWeights> folded;  ///< what the matrices are quantized from; null: the model itself
};

struct CalibratedMethod {
  std::string_view name;
  /// Why it cannot make a scheme, with the way out.
  Status (*check_scheme)(const QuantScheme& scheme);
  /// Bytes that it holds at most beside a block and a slice of activations.
  std::uint64_t (*bytes)(const ModelFiles& files, std::int64_t window, const QuantizeOptions& options);
  /// Finishes every block linear.
  Result<CalibratedModel> (*run)(const CalibratedRun& run, FinishedLinears& finished, ThreadPool& pool);
};

/// By name; the error lists those that are known.
Result<const CalibratedMethod*> find_calibrated_method(const std::string& name);

}  // namespace nibble
