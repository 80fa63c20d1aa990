#include "quant/weights_as_floats.h"

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

}  // namespace nibble
