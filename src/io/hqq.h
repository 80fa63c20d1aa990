// HQQ checkpoints in safetensors: real zero points, groups along either axis, slab packing (docs/formats/hqq.md). Read
// only.
#pragma once

#include "io/family.h"

namespace nibble {

extern const Family kHqqFamily;

}  // namespace nibble
