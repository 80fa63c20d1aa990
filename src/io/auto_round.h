// AutoRound's own checkpoints: a configuration of its own over the tensors of GPTQ, AWQ, compressed-tensors or FP8
// (docs/formats/auto-round.md). Read only; what it would write, the other families write.
#pragma once

#include "io/family.h"

namespace nibble {

extern const Family kAutoRoundFamily;

}  // namespace nibble
