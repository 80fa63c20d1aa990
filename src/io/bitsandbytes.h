// bitsandbytes checkpoints: NF4 and FP4 in flat blocks, with or without double quantization, and LLM.int8()
// (docs/formats/bitsandbytes.md).
#pragma once

#include "io/family.h"

namespace nibble {

extern const Family kBitsandbytesFamily;

}  // namespace nibble
