#include "quant/float_matrix.h"

#include <span>

#include "base/log.h"
#include "quant/rtn/finite_rows.h"
#include "quant/weights_as_floats.h"

namespace nibble {

Result<FloatMatrix> finite_weights(const ModelWeights& weights, LinearId id, ThreadPool& pool) {
  NIBBLE_TRY(const MatrixPtr matrix, weights.matrix(id));
  FloatMatrix out{matrix->rows(), matrix->cols(), {}, 0};
  NIBBLE_TRY(out.values, weights_as_floats(*matrix, pool));
  matrix->release(0, out.rows);
  out.non_finite = make_rows_finite(out.values.data(), out.rows, out.cols);
  return out;
}

void warn_of_non_finite(const FloatMatrix& matrix, const std::string& name) {
  if (matrix.non_finite > 0)
    log_warning("{}: {} NaN or infinite weights were taken as 0 or as the largest finite weight of their row", name,
                matrix.non_finite);
}

}  // namespace nibble
