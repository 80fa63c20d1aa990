#include "quant/auto_round/original_linear.h"

#include "base/log.h"
#include "quant/rtn/group_grid.h"
#include "quant/rtn/rtn.h"
#include "quant/weights_as_floats.h"

namespace nibble {

Result<std::vector<float>> finite_weights(const MatrixSource& source, const std::string& name, ThreadPool& pool) {
  NIBBLE_TRY(std::vector<float> values, weights_as_floats(source, pool));
  source.release(0, source.rows());
  std::int64_t replaced = 0;
  const auto cols = static_cast<std::size_t>(source.cols());
  for (std::size_t first = 0; first < values.size(); first += cols)
    replaced += make_finite(std::span(values).subspan(first, cols));
  if (replaced > 0)
    log_warning("{}: {} NaN or infinite weights were taken as 0 or as the largest finite weight of their row", name,
                replaced);
  return values;
}

Status measure_errors(const MatrixSource& original, const QuantizedMatrix& quantized, const LayerError& layer_error,
                      FinishedLinear& out, ThreadPool& pool) {
  NIBBLE_TRY(std::vector<float> values, weights_as_floats(original, pool));
  original.release(0, original.rows());
  QuantizedMatrix nearest;
  quantize_rtn_rows(values.data(), quantized.rows, quantized.cols, 0, quantized.rows, quantized.scheme, {}, nearest);
  out.error = layer_error.of(values, quantized, pool);
  out.rtn_error = layer_error.of(values, nearest, pool);
  return {};
}

}  // namespace nibble
