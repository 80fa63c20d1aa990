// Quanto (optimum-quanto) checkpoints: int8 and float8 per channel, 2 and 4 bits in groups (docs/formats/quanto.md).
// Read only.
#pragma once

#include "io/family.h"

namespace nibble {

extern const Family kQuantoFamily;

}  // namespace nibble
