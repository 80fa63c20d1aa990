// Between the bytes of ggml's blocks and QuantizedMatrix: decoding keeps every code, scale and min; encoding is its
// inverse.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "format/ggml_blocks_parts.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// Fills `out` with rows [row_begin, row_begin + row_count) of a rows x cols matrix of ggml type `type`, under the
/// scheme ggml_scheme(type). `bytes` holds the blocks of exactly these rows, at any alignment.
///
/// dequantize(out) has the bits of the format's own dequantize(), but for NaN's payload. NVFP4's scale per tensor is 1.
/// Errors: kUnsupported for types without a scheme, kCorrupt for sizes that do not match and for scales that ggml too
/// refuses or misreads (MXFP4 255, NVFP4 0xFF).
Status decode_ggml(int type, std::span<const std::byte> bytes, std::int64_t rows, std::int64_t cols,
                   std::int64_t row_begin, std::int64_t row_count, QuantizedMatrix& out);

/// The blocks of the rows that `matrix` holds; its scheme is ggml_scheme(type) but for activations. Gives back the
/// bytes that decode_ggml() read, except where a format has two ways to say one thing: MXFP4's -0 and TQ1_0's unused
/// bytes. Errors: kUnsupported for types that are read only, kInvalidArgument for another scheme or broken blocks.
Result<std::vector<std::byte>> encode_ggml(int type, const QuantizedMatrix& matrix);

/// Where the parts of the first block lie in a matrix of a ggml type's scheme.
GgmlParts ggml_parts(QuantizedMatrix& matrix);

/// Bytes of one row of `cols` values; kInvalidArgument when cols is not a multiple of the type's block.
Result<std::int64_t> ggml_row_bytes(int type, std::int64_t cols);

}  // namespace nibble
