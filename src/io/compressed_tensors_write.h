// Writing of compressed-tensors modules: the functions behind kCompressedTensorsFamily.
#pragma once

#include "io/family.h"

namespace nibble {

Status ct_can_express(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols);
Result<std::vector<EncodedPlan>> ct_plan(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols,
                                         const std::string& module);
Status ct_encode(const QuantizedMatrix& rows, const std::string& module, const EncodedSink& sink);
std::int64_t ct_encode_row_step(const QuantScheme& scheme);

}  // namespace nibble
