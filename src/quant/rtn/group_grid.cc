// Grids of round-to-nearest: symmetric, asymmetric, float, table, ternary and binary groups.
#include "quant/rtn/group_grid.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "tensor/quantized_matrix.h"

namespace nibble {
namespace {

struct Extremes {
  float low = 0.0f;   ///< min(0, x)
  float high = 0.0f;  ///< max(0, x)
};

Extremes extremes(std::span<const float> x) {
  Extremes e;
  for (const float v : x) {
    e.low = v < e.low ? v : e.low;
    e.high = v > e.high ? v : e.high;
  }
  return e;
}

/// The value below which `percent` of the magnitudes lie (nearest rank).
float percentile_of(std::vector<float>& magnitudes, double percent) {
  if (magnitudes.empty()) return 0.0f;
  const double rank = std::ceil(percent / 100.0 * static_cast<double>(magnitudes.size())) - 1.0;
  const auto index = static_cast<std::ptrdiff_t>(std::clamp(rank, 0.0, static_cast<double>(magnitudes.size() - 1)));
  std::nth_element(magnitudes.begin(), magnitudes.begin() + index, magnitudes.end());
  return magnitudes[static_cast<std::size_t>(index)];
}

Extremes percentile_extremes(std::span<const float> x, double percent) {
  std::vector<float> below;
  std::vector<float> above;
  for (const float v : x) (v < 0 ? below : above).push_back(std::fabs(v));
  return {-percentile_of(below, percent), percentile_of(above, percent)};
}

float percentile_magnitude(std::span<const float> x, double percent) {
  std::vector<float> magnitudes(x.begin(), x.end());
  for (float& v : magnitudes) v = std::fabs(v);
  return percentile_of(magnitudes, percent);
}

bool is_ternary(const CodeFormat& code) {
  return code.kind == CodeFormat::Kind::kInteger && code.bits == 2 && code.bias == 1;
}

/// The scale that minimises the squared error over the codes {-1, 0, 1}: the mean of the k largest magnitudes, for the
/// k that maximises (their sum)^2 / k. Exact.
float ternary_scale(std::span<const float> x) {
  std::vector<float> magnitudes(x.begin(), x.end());
  for (float& v : magnitudes) v = std::fabs(v);
  std::sort(magnitudes.begin(), magnitudes.end(), std::greater<>());
  double sum = 0;
  double best = 0;
  double scale = 0;
  for (std::size_t k = 0; k < magnitudes.size(); ++k) {
    sum += static_cast<double>(magnitudes[k]);
    const double gain = sum * sum / static_cast<double>(k + 1);
    if (gain > best) {
      best = gain;
      scale = sum / static_cast<double>(k + 1);
    }
  }
  return static_cast<float>(scale);
}

float mean_magnitude(std::span<const float> x) {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(std::fabs(v));
  return x.empty() ? 0.0f : static_cast<float>(sum / static_cast<double>(x.size()));
}

std::uint8_t nearest_entry(std::span<const float> table, float x) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < table.size(); ++i)
    if (std::fabs(x - table[i]) < std::fabs(x - table[best])) best = i;
  return static_cast<std::uint8_t>(best);
}

}  // namespace

std::int64_t make_finite(std::span<float> x) {
  std::uint32_t special = 0;  // most rows have nothing to replace: look without branches first
  for (const float v : x) special |= (std::bit_cast<std::uint32_t>(v) & 0x7F800000u) == 0x7F800000u ? 1u : 0u;
  if (special == 0) return 0;
  float largest = 0;
  for (const float v : x)
    if (std::isfinite(v)) largest = std::max(largest, std::fabs(v));
  std::int64_t replaced = 0;
  for (float& v : x) {
    if (std::isfinite(v)) continue;
    v = std::isnan(v) ? 0.0f : std::copysign(largest, v);
    ++replaced;
  }
  return replaced;
}

GroupQuantizer::GroupQuantizer(const QuantScheme& scheme, const RangeRule& range)
    : scheme_(scheme), range_(range), table_(table_values(scheme.code.table)) {}

float GroupQuantizer::table_limit() const {
  const CodeFormat& code = scheme_.code;
  if (code.kind == CodeFormat::Kind::kFloat)
    return code.float_type == ElementType::kE4m3 ? 448.0f : code.float_type == ElementType::kE5m2 ? 57344.0f : 6.0f;
  float limit = 0;
  for (const float v : table_) limit = std::max(limit, std::fabs(v));
  return limit > 0 ? limit : 1.0f;
}

/// Scale of a symmetric grid by the range rule; 0 for an all-zero group.
float GroupQuantizer::symmetric_scale(std::span<const float> x) const {
  const CodeFormat& code = scheme_.code;
  if (code.table == TableKind::kBinary) return mean_magnitude(x);
  if (is_ternary(code)) return ternary_scale(x);
  const Extremes e = extremes(x);
  float magnitude = std::max(-e.low, e.high);
  if (range_.kind == RangeRule::Kind::kPercentile) magnitude = percentile_magnitude(x, range_.percentile);
  if (code.kind != CodeFormat::Kind::kInteger) return magnitude / table_limit();
  const auto levels = static_cast<float>(1 << code.bits);
  if (range_.kind == RangeRule::Kind::kGptq) return 2.0f * magnitude / (levels - 1.0f);
  if (range_.kind == RangeRule::Kind::kAbsmax && code.bits > 1) return magnitude / (levels / 2.0f - 1.0f);
  // Full range: the extreme of larger magnitude (the first on a tie in sign order) maps to the lowest code.
  const float sign = -e.low >= e.high ? 1.0f : -1.0f;
  return sign * magnitude / (levels / 2.0f);
}

std::int32_t GroupQuantizer::zero_for(std::span<const float> x, float scale) const {
  if (scheme_.zero_kind != ZeroKind::kInteger) return 0;
  const auto top = static_cast<float>((1 << scheme_.code.bits) - 1);
  const Extremes e =
      range_.kind == RangeRule::Kind::kPercentile ? percentile_extremes(x, range_.percentile) : extremes(x);
  if (scale == 0.0f) return 0;
  return static_cast<std::int32_t>(std::clamp(std::nearbyint(-e.low / scale), 0.0f, top));
}

GroupGrid GroupQuantizer::choose(std::span<const float> x, const std::function<float(float)>& round_scale) const {
  if (range_.kind == RangeRule::Kind::kMse && scheme_.code.table != TableKind::kBinary && !is_ternary(scheme_.code))
    return least_squares(x, round_scale);
  GroupGrid grid;
  if (scheme_.zero_kind == ZeroKind::kInteger) {
    const Extremes e =
        range_.kind == RangeRule::Kind::kPercentile ? percentile_extremes(x, range_.percentile) : extremes(x);
    grid.scale = (e.high - e.low) / static_cast<float>((1 << scheme_.code.bits) - 1);
  } else {
    grid.scale = symmetric_scale(x);
  }
  if (grid.scale == 0.0f) grid.scale = 1.0f;  // an all-zero group: every code stands for 0
  grid.scale = round_scale(grid.scale);
  grid.zero = zero_for(x, grid.scale);
  return grid;
}

double GroupQuantizer::squared_error(std::span<const float> x, const GroupGrid& grid) const {
  std::vector<std::uint8_t> codes(x.size());
  encode(x, grid, codes.data());
  double error = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    float value = 0;
    switch (scheme_.code.kind) {
      case CodeFormat::Kind::kInteger:
        value = static_cast<float>(static_cast<std::int32_t>(codes[i]) - scheme_.code.bias - grid.zero);
        break;
      case CodeFormat::Kind::kTable:
        value = table_[codes[i]];
        break;
      case CodeFormat::Kind::kFloat:
        value = scheme_.code.float_type == ElementType::kE4m3   ? e4m3_to_f32(codes[i])
                : scheme_.code.float_type == ElementType::kE5m2 ? e5m2_to_f32(codes[i])
                                                                : e2m1_to_f32(codes[i]);
        break;
    }
    const double difference = static_cast<double>(x[i]) - static_cast<double>(grid.scale * value);
    error += difference * difference;
  }
  return error;
}

/// Tries shrunken ranges, both signs of a symmetric scale and both neighbours of the zero point; keeps the least error.
GroupGrid GroupQuantizer::least_squares(std::span<const float> x,
                                        const std::function<float(float)>& round_scale) const {
  constexpr int kSteps = 40;
  const Extremes e = extremes(x);
  GroupGrid best{1.0f, 0};
  best.scale = round_scale(1.0f);
  double best_error = std::numeric_limits<double>::infinity();
  const auto consider = [&](const GroupGrid& grid) {
    if (grid.scale == 0.0f || !std::isfinite(grid.scale)) return;
    const double error = squared_error(x, grid);
    if (error < best_error) {
      best_error = error;
      best = grid;
    }
  };
  const bool asymmetric = scheme_.zero_kind == ZeroKind::kInteger;
  const auto top = static_cast<float>((1 << std::min<int>(scheme_.code.bits, 8)) - 1);
  const float magnitude = std::max(-e.low, e.high);
  if (magnitude == 0.0f) return best;
  for (int step = 0; step <= kSteps; ++step) {
    const float p = 1.05f - static_cast<float>(step) * (0.65f / static_cast<float>(kSteps));  // 1.05 down to 0.40
    if (asymmetric) {
      const float scale = round_scale(p * (e.high - e.low) / top);
      if (scale == 0.0f) continue;
      const float real_zero = -p * e.low / scale;
      for (const float zero : {std::floor(real_zero), std::ceil(real_zero)})
        consider({scale, static_cast<std::int32_t>(std::clamp(zero, 0.0f, top))});
    } else {
      const float limit = scheme_.code.kind == CodeFormat::Kind::kInteger ? (top + 1.0f) / 2.0f : table_limit();
      consider({round_scale(p * magnitude / limit), 0});
      if (scheme_.code.kind == CodeFormat::Kind::kInteger) consider({round_scale(-p * magnitude / limit), 0});
    }
  }
  return best;
}

void GroupQuantizer::encode(std::span<const float> x, const GroupGrid& grid, std::uint8_t* codes) const {
  const CodeFormat& code = scheme_.code;
  switch (code.kind) {
    case CodeFormat::Kind::kInteger: {
      const float low = range_.kind == RangeRule::Kind::kAbsmax && scheme_.zero_kind == ZeroKind::kNone &&
                                code.bits > 1 && !is_ternary(code)
                            ? 1.0f
                            : 0.0f;
      const float high = is_ternary(code) ? 2.0f : static_cast<float>((1 << code.bits) - 1);
      const auto shift = static_cast<float>(code.bias + grid.zero);
      for (std::size_t i = 0; i < x.size(); ++i) {
        float q = x[i] / grid.scale;  // divided: a subnormal scale has no finite inverse
        q = q < -512.0f ? -512.0f : q > 512.0f ? 512.0f : q;
        q = round_even(q) + shift;
        q = q < low ? low : q > high ? high : q;
        codes[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(q));
      }
      return;
    }
    case CodeFormat::Kind::kTable:
      for (std::size_t i = 0; i < x.size(); ++i) codes[i] = nearest_entry(table_, x[i] / grid.scale);
      return;
    case CodeFormat::Kind::kFloat:
      for (std::size_t i = 0; i < x.size(); ++i) {
        const float v = x[i] / grid.scale;
        codes[i] = code.float_type == ElementType::kE4m3   ? f32_to_e4m3(v)
                   : code.float_type == ElementType::kE5m2 ? f32_to_e5m2(v)
                                                           : f32_to_e2m1(v);
      }
      return;
  }
}

}  // namespace nibble
