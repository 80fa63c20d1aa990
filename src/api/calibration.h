// The tokens that calibrated methods look at.
#pragma once

#include <string>

#include "model/model_files.h"
#include "nibble/quantize.h"
#include "quant/calibration/block_stream.h"

namespace nibble {

/// Tokens of a calibration window, where the options suit the model.
Result<std::int64_t> calibration_window(const ModelFiles& files, const CalibrationOptions& options);

/// Windows of the calibration texts, as many of each as of the others where they are long enough; without a text, of
/// what the model itself writes (and a note that says so) within `max_memory` bytes (0: no bound).
Result<CalibrationTokens> calibration_tokens(const std::string& path, const ModelFiles& files,
                                             const CalibrationOptions& options, int threads, std::uint64_t max_memory,
                                             const Progress& progress);

/// Up to `windows` windows of `context` tokens of the calibration texts, of what calibration_tokens() leaves of them;
/// none where it leaves nothing.
Result<CalibrationTokens> held_out_tokens(const ModelFiles& files, const CalibrationOptions& options,
                                          std::int64_t windows, std::int64_t context);

}  // namespace nibble
