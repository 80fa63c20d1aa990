// The methods that look at calibration tokens: one list.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "model/model_files.h"
#include "nibble/quantize.h"
#include "quant/calibration/finished_linears.h"
#include "quant/fold/folded_weights.h"
#include "quant/linear_schemes.h"
#include "quant/plain_rounding.h"

namespace nibble {

/// What a method is asked to do.
struct CalibratedRun {
  const ModelFiles& files;
  const CalibrationTokens& tokens;
  const LinearSchemes& schemes;
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
  /// Bytes that it holds at most beside a block and a slice of activations, but for beside_codes_bytes().
  std::uint64_t (*bytes)(const ModelFiles& files, std::int64_t window, const QuantizeOptions& options);
  /// Finishes every block linear; null: all are made by `unfinished`.
  Result<CalibratedModel> (*run)(const CalibratedRun& run, FinishedLinears& finished, ThreadPool& pool);
  /// About the KL divergence that remains of rounding to nearest's (docs/methods.md).
  double gain;
  /// Makes a matrix that run() does not finish.
  Result<MatrixPtr> (*unfinished)(MatrixPtr original, const QuantScheme& scheme, ThreadPool& pool) = round_plainly;
  bool corrects_biases = false;  ///< heeds QuantizeOptions::bias_correction
  bool by_linear = false;        ///< takes linears that share an input one by one: each its own scheme, or floats
};

/// Bytes that fitting kept columns and products of low rank takes besides, where a block linear's scheme has them.
std::uint64_t beside_codes_bytes(const ModelLayout& layout, const LinearSchemes& schemes);

/// Whether there is anything to correct; else the way out.
Status check_bias_correction(const CalibratedMethod& method, const ModelFiles& files);

/// Whether saved statistics are all that the method needs, with these options; else the way out.
Status check_saved_statistics(const CalibratedMethod& method, const QuantizeOptions& options);

/// By name; the error lists those that are known. `rtn` and `hqq` look at tokens only where bits are chosen.
Result<const CalibratedMethod*> find_calibrated_method(const std::string& name);

}  // namespace nibble
