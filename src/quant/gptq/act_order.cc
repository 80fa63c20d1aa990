#include "quant/gptq/act_order.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "quant/integer_groups.h"

namespace nibble {

Status check_act_order(const QuantScheme& scheme) {
  NIBBLE_TRY_STATUS(check_integer_groups(scheme, "act-order"));
  if (scheme.scale->grouping.kind != Grouping::Kind::kColumns)
    return fail(ErrorCode::kUnsupported, "act-order is for groups of columns such as int4-g128-sym, not for {}",
                to_string(scheme));
  return {};
}

std::vector<std::int32_t> activation_order(const InputGram& gram) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(gram.cols));
  std::iota(order.begin(), order.end(), 0);
  // NaN counts as 0, so that the order is one.
  const auto size = [&](std::int32_t column) {
    const double sum = gram.sums[static_cast<std::size_t>(column * (gram.cols + 1))];
    return sum > 0 ? sum : 0.0;
  };
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) { return size(a) > size(b); });
  return order;
}

InputGram in_order(const InputGram& gram, std::span<const std::int32_t> order) {
  NIBBLE_CHECK(static_cast<std::int64_t>(order.size()) == gram.cols);
  InputGram out(gram.cols);
  out.tokens = gram.tokens;
  out.drift.resize(gram.drift.size());
  const std::size_t n = order.size();
  for (std::size_t i = 0; i < n; ++i) {
    const auto a = static_cast<std::size_t>(order[i]);
    out.plain_sums[i] = gram.plain_sums[a];
    out.abs_sums[i] = gram.abs_sums[a];
    for (std::size_t j = i; j < n; ++j) {
      const auto b = static_cast<std::size_t>(order[j]);
      out.sums[i * n + j] = gram.sums[std::min(a, b) * n + std::max(a, b)];
    }
    if (gram.drift.empty()) continue;
    for (std::size_t j = 0; j < n; ++j) out.drift[i * n + j] = gram.drift[a * n + static_cast<std::size_t>(order[j])];
  }
  return out;
}

std::vector<float> in_order(std::span<const float> weights, std::span<const std::int32_t> order) {
  std::vector<float> out;
  out.reserve(weights.size());
  for (std::size_t row = 0; row < weights.size(); row += order.size())
    for (const std::int32_t column : order) out.push_back(weights[row + static_cast<std::size_t>(column)]);
  return out;
}

QuantScheme with_group_index(const QuantScheme& scheme, std::int64_t cols) {
  QuantScheme out = scheme;
  out.scale->grouping = Grouping::indexed(scheme.scale->grouping.entries_per_row(1, cols));
  if (out.zero_kind != ZeroKind::kNone) out.zero.grouping = out.scale->grouping;
  return out;
}

QuantizedMatrix with_group_index(QuantizedMatrix matrix, std::span<const std::int32_t> order) {
  NIBBLE_CHECK(static_cast<std::int64_t>(order.size()) == matrix.cols && matrix.scheme.code.code_bytes() == 1);
  const std::int64_t group = matrix.scheme.scale->grouping.size;
  const std::size_t cols = order.size();
  std::vector<std::uint8_t> codes(matrix.codes.size());
  for (std::size_t row = 0; row < codes.size(); row += cols)
    for (std::size_t p = 0; p < cols; ++p) codes[row + static_cast<std::size_t>(order[p])] = matrix.codes[row + p];
  matrix.codes = std::move(codes);
  matrix.group_index.resize(cols);
  for (std::size_t p = 0; p < cols; ++p)
    matrix.group_index[static_cast<std::size_t>(order[p])] =
        static_cast<std::int32_t>(static_cast<std::int64_t>(p) / group);
  matrix.scheme = with_group_index(matrix.scheme, matrix.cols);
  return matrix;
}

}  // namespace nibble
