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
  const std::int64_t rows = source.rows();
  const std::int64_t cols = source.cols();
  const std::int64_t step = source.row_step();
  std::vector<float> out(static_cast<std::size_t>(rows * cols));
  const auto steps = static_cast<std::size_t>((rows + step - 1) / step);
  std::vector<Status> failures(steps);
  pool.run(steps, 8, [&](std::size_t begin, std::size_t end, int) {
    QuantizedMatrix part;
    for (std::size_t s = begin; s < end; ++s) {
      const std::int64_t first = static_cast<std::int64_t>(s) * step;
      failures[s] = source.decode(first, std::min(step, rows - first), part);
      if (failures[s].ok()) weights_as_floats(part, out.data() + first * cols);
    }
  });
  for (const Status& failure : failures) NIBBLE_TRY_STATUS(failure);
  return out;
}

}  // namespace nibble
