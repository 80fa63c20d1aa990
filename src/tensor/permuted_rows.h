// A matrix whose rows are those of another one in a different order, without copying it.
#pragma once

#include <vector>

#include "tensor/quantized_matrix.h"

namespace nibble {

/// Row r of the result is row `order[r]` of `source`. Errors: kUnsupported when a plane's groups cross rows.
Result<MatrixPtr> permute_rows(MatrixPtr source, std::vector<std::int64_t> order);

}  // namespace nibble
