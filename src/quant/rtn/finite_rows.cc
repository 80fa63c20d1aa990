#include "quant/rtn/finite_rows.h"

#include "base/log.h"
#include "quant/rtn/group_grid.h"
#include "quant/weights_as_floats.h"

namespace nibble {

std::int64_t make_rows_finite(float* weights, std::int64_t rows, std::int64_t cols) {
  std::int64_t replaced = 0;
  for (std::int64_t r = 0; r < rows; ++r) replaced += make_finite({weights + r * cols, static_cast<std::size_t>(cols)});
  return replaced;
}

void warn_of_non_finite(std::int64_t replaced) {
  log_warning("{} NaN or infinite weights were taken as 0 or as the largest finite weight of their row", replaced);
}

Status decode_floats(const MatrixSource& source, std::int64_t begin, std::int64_t count, QuantizedMatrix& scratch,
                     float* out) {
  NIBBLE_TRY_STATUS(source.decode(begin, count, scratch));
  weights_as_floats(scratch, out);
  return {};
}

}  // namespace nibble
