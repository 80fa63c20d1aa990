// gpt-oss: MXFP4 blocks of mixture-of-experts weights, all experts in one tensor (docs/formats/mxfp4.md). Read only.
#pragma once

#include "io/family.h"

namespace nibble {

extern const Family kMxfp4Family;

}  // namespace nibble
