// FP8 checkpoints: DeepSeek's block-scaled ones, per-tensor and per-channel ones of vLLM and fbgemm, and the FP4
// experts that come with some (docs/formats/fp8.md).
#pragma once

#include "io/family.h"
#include "io/module_tensors.h"

namespace nibble {

/// FP8 E4M3 codes of ".weight" under a multiplier in `scale_suffix`: one, one per row, or one per block when
/// `block_rows` is not 0.
Result<FamilyModule> open_fp8_module(ModuleTensors& tensors, std::string_view scale_suffix, std::int64_t block_rows,
                                     std::int64_t block_cols, const ActivationScheme& activations);

extern const Family kFp8Family;

}  // namespace nibble
