// A linear as the model has it: its weights made finite, and how far a quantized one is from it.
#pragma once

#include <string>
#include <vector>

#include "quant/calibration/finished_linears.h"
#include "quant/calibration/layer_error.h"

namespace nibble {

/// The weights [rows, cols], NaN and infinities replaced as round-to-nearest does, with a warning. Releases the source.
Result<std::vector<float>> finite_weights(const MatrixSource& source, const std::string& name, ThreadPool& pool);

/// Sets the errors of `quantized`, and of rounding to nearest in its scheme, on the inputs that `layer_error` knows.
Status measure_errors(const MatrixSource& original, const QuantizedMatrix& quantized, const LayerError& layer_error,
                      FinishedLinear& out, ThreadPool& pool);

}  // namespace nibble
