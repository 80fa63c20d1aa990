#include "quant/integer_groups.h"

#include <algorithm>

#include "base/result.h"

namespace nibble {

Status check_integer_groups(const QuantScheme& scheme, std::string_view method, bool real_zeros) {
  NIBBLE_TRY_STATUS(scheme.validate());
  const auto refuse = [&](std::string_view why) {
    return fail(ErrorCode::kUnsupported,
                "{} cannot make {}: {}; use integers in groups of columns such as int4-g64-asym or int3-channel-sym",
                method, to_string(scheme), why);
  };
  if (!scheme.supplement.empty()) return refuse("kept columns and products of low rank come from gptq, best and wnam");
  if (scheme.code.kind != CodeFormat::Kind::kInteger || scheme.code.bits < 2) return refuse("it needs integer codes");
  if (scheme.code.bits == 2 && scheme.code.bias == 1) return refuse("ternary codes leave nothing to search");
  if (!scheme.scale || scheme.scale->nested || scheme.scale->divides || scheme.offset || scheme.post_scale != 1.0f)
    return refuse("it needs one plain scale");
  if (scheme.zero_kind == ZeroKind::kReal && !real_zeros) return refuse("its zero points are real numbers");
  const Grouping::Kind kind = scheme.scale->grouping.kind;
  if (kind != Grouping::Kind::kRow && kind != Grouping::Kind::kColumns)
    return refuse("its scales are not per row or group of columns");
  if (scheme.zero_kind != ZeroKind::kNone && (scheme.zero.grouping != scheme.scale->grouping || scheme.zero.nested))
    return refuse("scales and zero points have different groups");
  return {};
}

std::int64_t group_columns(const QuantScheme& scheme, std::int64_t cols) {
  const Grouping& grouping = scheme.scale->grouping;
  return grouping.kind == Grouping::Kind::kColumns ? std::min(grouping.size, cols) : cols;
}

}  // namespace nibble
