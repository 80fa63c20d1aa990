// GPTQ checkpoints: AutoGPTQ, GPTQModel and optimum (docs/formats/gptq.md). Codes packed along the inputs, zero points
// along the outputs, groups in any order of columns (act-order). The layout alone is also AutoRound's.
#pragma once

#include "io/family.h"
#include "io/module_tensors.h"

namespace nibble {

/// How zero points are stored.
enum class GptqZeros {
  kSymmetric,  ///< 2^(bits-1) whatever is stored
  kV1Fields,   ///< zero - 1 modulo 2^bits in each field
  kV1Words,  ///< one subtracted from all fields of a word at once, borrowing: GPTQModel and AutoRound, 2, 4 and 8 bits
  kV2,       ///< zero
  kInspect,  ///< symmetric if every stored word is the constant of symmetric v1 or v2, else kV1Fields
};

struct GptqLayout {
  int bits = 4;
  std::int64_t group_size = -1;  ///< -1: all columns
  GptqZeros zeros = GptqZeros::kSymmetric;
  bool planar = false;  ///< gptq_p
};

/// The module of `tensors` (qweight, qzeros, scales, perhaps g_idx).
Result<FamilyModule> open_gptq_module(ModuleTensors& tensors, const GptqLayout& layout);

extern const Family kGptqFamily;

}  // namespace nibble
