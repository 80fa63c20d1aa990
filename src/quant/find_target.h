// Which scheme of a family holds a matrix: exactly, or with its codes kept and the planes rounded, or nearest to it.
// One search for every family: candidates are tried against the family's own can_express(), smallest first.
#pragma once

#include <optional>

#include "io/family.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// Where a matrix can go.
struct FoundTarget {
  MatrixPtr matrix;                ///< the source itself, or the source on another grid
  bool exact = false;              ///< every value is kept; else the codes are, and the planes were rounded
  bool drops_activations = false;  ///< the family cannot say what the scheme does to activations
};

/// A scheme that `family` can write and that holds every value of `source`; reads the matrix where its scheme alone
/// does not tell. If there is none, one that keeps the codes. kUnsupported, with the family's reason, when there is
/// neither. `only`: the one scheme to consider (gguf:TYPE).
Result<FoundTarget> find_target(const MatrixPtr& source, const Family& family,
                                const std::optional<QuantScheme>& only = std::nullopt);

/// The smallest scheme of `family` that round-to-nearest can make, with codes as wide and groups as small as those of
/// `scheme`: what a lossy conversion requantizes to. kUnsupported when the family has none for this shape.
Result<QuantScheme> nearest_scheme(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols,
                                   const Family& family);

}  // namespace nibble
