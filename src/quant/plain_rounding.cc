#include "quant/plain_rounding.h"

#include "format/ggml_blocks.h"
#include "quant/ggml/ggml_quantizer.h"
#include "quant/rtn/rtn.h"
#include "tensor/ggml_schemes.h"

namespace nibble {

Status check_plain_rounding(const QuantScheme& scheme, std::int64_t cols) {
  Status rtn = check_rtn_scheme(scheme);
  if (rtn.ok()) return rtn;
  const std::optional<int> type = ggml_type_of(scheme);
  if (!type || !check_ggml_quantizer(*type).ok()) return rtn;
  const GgmlBlockFormat* format = find_ggml_block_format(*type);
  if (format != nullptr && cols % format->block_values != 0)
    return fail(ErrorCode::kUnsupported, "rows of {} are not whole {} blocks of {}", cols, format->name,
                format->block_values);
  return {};
}

Result<MatrixPtr> round_plainly(MatrixPtr original, const QuantScheme& scheme, ThreadPool& pool) {
  if (check_rtn_scheme(scheme).ok())
    return quantize_rtn(std::move(original), scheme, RtnOptions{{RangeRule::Kind::kMse, 100.0}}, pool);
  const std::optional<int> type = ggml_type_of(scheme);
  if (!type) return check_rtn_scheme(scheme).error();
  return quantize_to_ggml(std::move(original), *type, nullptr);
}

}  // namespace nibble
