// The schemes that a bit search chooses from, and what each unit of a model may become.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "io/family.h"
#include "quant/bits/growth_correction.h"

namespace nibble {

/// Why a method cannot make a scheme.
using SchemeCheck = std::function<Status(const QuantScheme& scheme)>;

/// The schemes stated (names as parse_scheme() knows them), or where none are the default ones that the family can hold
/// and the method can make: for GGUF the types from q2_k to q8_0, else integers of 2 to 8 bits, symmetric if the method
/// makes them, or codebooks. Each in rows of some number of columns. Errors: the family has one scheme for all
/// matrices; a scheme stated that the method cannot make or rounding to nearest cannot; fewer than two.
Result<std::vector<QuantScheme>> bit_candidates(const std::vector<std::string>& stated, const Family& family,
                                                const SchemeCheck& method);

/// For each unit the candidates that the family can hold in its matrices, by ascending bits; sizes are the bits that
/// the schemes store or, with `in_bytes`, the bytes of the family's tensors. An error names a unit without any.
Result<std::vector<UnitChoices>> unit_choices(const ModelLayout& layout, const std::vector<BitUnit>& units,
                                              const std::vector<QuantScheme>& candidates, const Family& family,
                                              bool in_bytes);

}  // namespace nibble
