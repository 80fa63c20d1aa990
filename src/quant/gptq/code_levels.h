// The values that the codes of a format stand for, in order: what the nearest code is looked up in.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tensor/quant_scheme.h"

namespace nibble {

/// Distinct finite values, ascending, each with a code that stands for it.
struct CodeLevels {
  std::vector<float> value;
  std::vector<std::uint8_t> code;

  /// The index of the nearest value; ties to the lower one.
  std::size_t nearest(float x) const;
};

/// Of one-byte codes. `table` is meant for TableKind::kStored only; of equal values the first code is kept.
CodeLevels code_levels(const CodeFormat& code, std::span<const float> table = {});

/// Whether every weight may take any code: not in ggml's types whose codes come in patterns of eight or four.
bool codes_are_free(const CodeFormat& code);

}  // namespace nibble
