// A weight matrix that a container holds as plain floats, as a MatrixSource.
#pragma once

#include "io/stored_tensor.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// f32, f16, bf16 and f64 tensors with two dimensions can be float matrices.
bool is_float_matrix(const StoredTensor& tensor);

/// The tensor's rows as codes of scheme f32, f16 or bf16; f64 is rounded to f32. Keeps the mapped file alive.
/// `tensor` satisfies is_float_matrix().
MatrixPtr make_float_matrix(const StoredTensor& tensor);

}  // namespace nibble
