// compressed-tensors: the checkpoints of llm-compressor and vLLM (docs/formats/compressed-tensors.md). Integers packed
// or one per byte, FP8, and the block formats NVFP4, MXFP4 and MXFP8; read and written.
#pragma once

#include "io/family.h"

namespace nibble {

extern const Family kCompressedTensorsFamily;

/// The modules whose tensors alone say what they are (FP8, NVFP4, MXFP4, MXFP8 and int8), for configurations that are
/// not this family's.
Result<std::vector<FamilyModule>> open_compressed_modules(const FamilyInput& input);

}  // namespace nibble
