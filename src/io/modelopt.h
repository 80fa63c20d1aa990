// NVIDIA ModelOpt checkpoints: NVFP4 with a multiplier per tensor, and per-tensor FP8 (docs/formats/modelopt.md). Read
// only.
#pragma once

#include "io/family.h"

namespace nibble {

extern const Family kModelOptFamily;

}  // namespace nibble
