// Schemes that methods for plain integer grids take: what gptq, awq and hqq have in common.
#pragma once

#include <cstdint>
#include <string_view>

#include "tensor/quant_scheme.h"

namespace nibble {

/// Success for integers of 2 to 8 bits with one plain scale, and at most one zero point, per row or group of columns;
/// else why `method` cannot make the scheme, with a way out. `real_zeros`: zero points may be real numbers.
Status check_integer_groups(const QuantScheme& scheme, std::string_view method, bool real_zeros = false);

/// Columns of such a scheme that share a scale, in rows of `cols`.
std::int64_t group_columns(const QuantScheme& scheme, std::int64_t cols);

}  // namespace nibble
