#include "quant/weights_as_floats.h"

#include <algorithm>

#include "kernel/widen/widen.h"

namespace nibble {

void weights_as_floats(const QuantizedMatrix& matrix, float* out) {
  const QuantScheme& scheme = matrix.scheme;
  if (!scheme.is_float() || scheme.code.float_type != ElementType::kF16 || scheme.scale || scheme.offset)
    return dequantize(matrix, out);
  // Vectors of bytes are aligned for any number.
  kernel::widen_kernel().half(reinterpret_cast<const std::uint16_t*>(matrix.codes.data()),
                              matrix.row_count * matrix.cols, out);
}

Result<std::vector<float>> weights_as_floats(const MatrixSource& source, ThreadPool& pool) {
  std::vector<float> out(static_cast<std::size_t>(source.rows() * source.cols()));
  NIBBLE_TRY_STATUS(rows_as_floats(source, 0, source.rows(), out.data(), pool));
  return out;
}

Status rows_as_floats(const MatrixSource& source, std::int64_t begin, std::int64_t count, float* out,
                      ThreadPool& pool) {
  // Some rows at a time: what all rows share (tables, a supplement's factor) is read with each range.
  constexpr std::int64_t kRowsAtOnce = 16;
  const std::int64_t step = source.row_step() * std::max<std::int64_t>(kRowsAtOnce / source.row_step(), 1);
  const auto steps = static_cast<std::size_t>((count + step - 1) / step);
  std::vector<Status> failures(steps);
  pool.run(steps, 1, [&](std::size_t from, std::size_t to, int) {
    QuantizedMatrix part;
    for (std::size_t s = from; s < to; ++s) {
      const std::int64_t first = static_cast<std::int64_t>(s) * step;
      failures[s] = source.decode(begin + first, std::min(step, count - first), part);
      if (failures[s].ok()) weights_as_floats(part, out + first * source.cols());
    }
  });
  for (const Status& failure : failures) NIBBLE_TRY_STATUS(failure);
  return {};
}

}  // namespace nibble
