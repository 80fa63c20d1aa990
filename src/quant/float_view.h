// A matrix seen in a float type: decoding dequantizes and rounds. What hf:f32, hf:f16, hf:bf16 and GGUF's float types
// write.
#pragma once

#include "tensor/quantized_matrix.h"

namespace nibble {

/// `source` as a float matrix of `type` (f32, f16 or bf16).
MatrixPtr float_view(MatrixPtr source, ElementType type);

/// Every value of a matrix of this scheme is representable in `type`.
bool float_view_is_exact(const QuantScheme& scheme, ElementType type);

}  // namespace nibble
