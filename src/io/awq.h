// AWQ checkpoints: AutoAWQ's GEMM, GEMV and GEMVFast versions and llm-awq's (docs/formats/awq.md). Always 4 bits.
#pragma once

#include "io/family.h"
#include "io/module_tensors.h"

namespace nibble {

struct AwqLayout {
  std::int64_t group_size = 128;  ///< -1: all columns
  bool zero_point = true;         ///< false: codes are around 8, stored zero points are not looked at
  bool gemv = false;              ///< the configuration says so; decides where the shapes fit both versions
};

/// The module of `tensors` (qweight, scales, qzeros or scaled_zeros), of the version that types and shapes tell.
Result<FamilyModule> open_awq_module(ModuleTensors& tensors, const AwqLayout& layout);

extern const Family kAwqFamily;

}  // namespace nibble
