#include "run/embedding_rows.h"

#include <algorithm>
#include <vector>

namespace nibble {

Status read_embedding_row(const MatrixSource& matrix, std::int64_t row, float* out) {
  const std::int64_t step = matrix.row_step();
  const std::int64_t first = row / step * step;
  thread_local QuantizedMatrix rows;
  thread_local std::vector<float> values;
  NIBBLE_TRY_STATUS(matrix.decode(first, std::min(step, matrix.rows() - first), rows));
  values.resize(rows.codes.size() / static_cast<std::size_t>(rows.scheme.code.code_bytes()));
  dequantize(rows, values.data());
  const float* found = values.data() + (row - first) * matrix.cols();
  std::copy(found, found + matrix.cols(), out);
  return {};
}

}  // namespace nibble
