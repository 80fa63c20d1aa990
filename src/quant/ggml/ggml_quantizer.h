// Quantizing to ggml's types as llama.cpp does: what GGUF files are made with.
#pragma once

#include <memory>
#include <vector>

#include "tensor/quantized_matrix.h"

namespace nibble {

/// How much each input column of a matrix matters: E[x^2] of what it multiplies. Empty: not known.
using Importance = std::shared_ptr<const std::vector<float>>;

/// Nibble can quantize to the type; else why not.
Status check_ggml_quantizer(int type);

/// `source` seen through ggml's quantizer for `type`: decode() quantizes the rows asked for, each by itself.
///
/// Without importance the blocks are those of ggml's reference quantizers, byte for byte. With importance (one number
/// per column) the 32-element types are too; k-quants and IQ4 begin from ggml's and are refined (ggml_search.h), so
/// that no block's weighted error is larger. Types whose ggml quantizer knows no importance ignore it. NaN weights are
/// taken as 0, infinite ones as the row's largest finite magnitude, with a warning.
/// Errors: types that are not quantized to; rows that are not whole blocks; importance of another length, negative or
/// not finite.
Result<MatrixPtr> quantize_to_ggml(MatrixPtr source, int type, Importance importance);

}  // namespace nibble
