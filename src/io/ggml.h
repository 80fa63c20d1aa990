// The family of GGUF files: matrices as ggml's blocks. The container is gguf.h; what the blocks mean is in
// format/ggml_blocks.h and tensor/ggml_schemes.h.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "io/family.h"
#include "tensor/quant_scheme.h"

namespace nibble {

/// Reads every type that occurs in files; writes all but IQ1 to IQ3 and NVFP4. A module is a 2-D tensor X.weight.
extern const Family kGgmlFamily;

/// The ggml type that holds matrices of this scheme and shape exactly, activations aside: the type of the same
/// structure, else the smallest whose codes and scales can say the same (a difference code - zero in a wider code, a
/// scale repeated for every block). Only what the scheme promises counts; integer zero points are taken to be within
/// the codes' range, and encoding fails on data where they are not. The error says what stands in the way.
Result<int> ggml_type_for(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols);

/// `from` in the scheme of `type`, which ggml_type_for() gave: same values, codes shifted and scales repeated.
/// kUnsupported, naming the row, when a difference code - zero does not fit.
Status regrid_for_ggml(const QuantizedMatrix& from, int type, QuantizedMatrix& to);

}  // namespace nibble
