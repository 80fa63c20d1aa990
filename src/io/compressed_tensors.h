// compressed-tensors: the checkpoints of llm-compressor and vLLM (docs/formats/compressed-tensors.md). Integers packed
// or one per byte, FP8, and the block formats NVFP4, MXFP4 and MXFP8; read and written.
#pragma once

#include "io/family.h"

namespace nibble {

extern const Family kCompressedTensorsFamily;

}  // namespace nibble
