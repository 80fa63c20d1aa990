// The schemes of ggml's tensor types: what the hub holds for each. The one source; names, sizes and the codec follow
// it.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "tensor/quant_scheme.h"

namespace nibble {

struct GgmlScheme {
  int type;               ///< ggml's id
  std::string_view name;  ///< "q4_k"
  QuantScheme scheme;
};

/// Every type that may hold a matrix in a file, by ascending id; activation formats and integers are absent.
std::span<const GgmlScheme> ggml_schemes();

/// kUnsupported for ids without a scheme.
Result<QuantScheme> ggml_scheme(int type);

/// The type whose scheme is exactly this one: same structure, same element types, no activations.
std::optional<int> ggml_type_of(const QuantScheme& scheme);

}  // namespace nibble
