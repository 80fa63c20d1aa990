// The family of GGUF files: matrices as ggml's blocks. The container is gguf.h; what the blocks mean is in
// format/ggml_blocks.h and tensor/ggml_schemes.h.
#pragma once

#include "io/family.h"

namespace nibble {

/// Reads every type that occurs in files; writes all but IQ1 to IQ3 and NVFP4. A module is a 2-D tensor X.weight.
extern const Family kGgmlFamily;

}  // namespace nibble
