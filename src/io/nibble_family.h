// The nibble family: safetensors that hold any QuantScheme at all, for what no published family can express: codebooks,
// nested planes, offsets, real zero points, any grouping (docs/formats/nibble.md). quant_method is "nibble".
#pragma once

#include "io/family.h"

namespace nibble {

extern const Family kNibbleFamily;

}  // namespace nibble
