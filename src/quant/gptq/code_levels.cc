#include "quant/gptq/code_levels.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/half.h"
#include "tensor/quantized_matrix.h"

namespace nibble {
namespace {

float float_of(ElementType type, std::uint8_t code) {
  return type == ElementType::kE4m3   ? e4m3_to_f32(code)
         : type == ElementType::kE5m2 ? e5m2_to_f32(code)
                                      : e2m1_to_f32(code);
}

/// By code.
std::vector<float> values_of(const CodeFormat& code, std::span<const float> table) {
  std::vector<float> out;
  const std::uint32_t count = 1u << code.bits;
  if (code.kind == CodeFormat::Kind::kTable) {
    const std::span<const float> known = code.table == TableKind::kStored ? table : table_values(code.table);
    out.assign(known.begin(), known.end());
  } else {
    for (std::uint32_t c = 0; c < count; ++c)
      out.push_back(code.kind == CodeFormat::Kind::kFloat
                        ? float_of(code.float_type, static_cast<std::uint8_t>(c))
                        : static_cast<float>(static_cast<std::int32_t>(c) - code.bias));
  }
  return out;
}

}  // namespace

std::size_t CodeLevels::nearest(float x) const {
  const auto above = static_cast<std::size_t>(std::lower_bound(value.begin(), value.end(), x) - value.begin());
  if (above == 0) return 0;
  if (above == value.size()) return above - 1;
  return x - value[above - 1] <= value[above] - x ? above - 1 : above;
}

CodeLevels code_levels(const CodeFormat& code, std::span<const float> table) {
  const std::vector<float> values = values_of(code, table);
  std::vector<std::uint8_t> codes(values.size());
  std::iota(codes.begin(), codes.end(), std::uint8_t{0});
  std::erase_if(codes, [&](std::uint8_t c) { return !std::isfinite(values[c]); });
  std::stable_sort(codes.begin(), codes.end(), [&](std::uint8_t a, std::uint8_t b) { return values[a] < values[b]; });
  CodeLevels out;
  for (const std::uint8_t c : codes) {
    if (!out.value.empty() && out.value.back() == values[c]) continue;
    out.value.push_back(values[c]);
    out.code.push_back(c);
  }
  return out;
}

bool codes_are_free(const CodeFormat& code) {
  switch (code.table) {
    case TableKind::kIq1:
    case TableKind::kIq2:
    case TableKind::kIq2S:
    case TableKind::kIq3Xxs:
    case TableKind::kIq3S:
      return false;
    default:
      return true;
  }
}

}  // namespace nibble
