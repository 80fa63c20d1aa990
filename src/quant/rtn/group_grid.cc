// Grids of round-to-nearest: symmetric, asymmetric, float, table, ternary and binary groups.
#include "quant/rtn/group_grid.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <vector>

#include "kernel/grid_search/grid_search.h"
#include "kernel/group_rounding/group_rounding.h"
#include "tensor/quantized_matrix.h"

namespace nibble {
namespace {

/// The value below which `percent` of the magnitudes lie (nearest rank).
float percentile_of(std::vector<float>& magnitudes, double percent) {
  if (magnitudes.empty()) return 0.0f;
  const double rank = std::ceil(percent / 100.0 * static_cast<double>(magnitudes.size())) - 1.0;
  const auto index = static_cast<std::ptrdiff_t>(std::clamp(rank, 0.0, static_cast<double>(magnitudes.size() - 1)));
  std::nth_element(magnitudes.begin(), magnitudes.begin() + index, magnitudes.end());
  return magnitudes[static_cast<std::size_t>(index)];
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

kernel::GridFloats floats_of(ElementType type) {
  if (type == ElementType::kE4m3) return {448.0f, 0x1p-6f, 0x1p-3f};
  if (type == ElementType::kE5m2) return {57344.0f, 0x1p-14f, 0x1p-2f};
  return {6.0f, 1.0f, 0.5f};
}

void encode_floats(ElementType type, std::span<const float> x, float scale, std::uint8_t* codes) {
  constexpr std::size_t kPiece = 256;
  float scaled[kPiece];
  for (std::size_t begin = 0; begin < x.size(); begin += kPiece) {
    const std::size_t count = std::min(kPiece, x.size() - begin);
    for (std::size_t i = 0; i < count; ++i) scaled[i] = x[begin + i] / scale;
    if (type == ElementType::kF4)
      std::transform(scaled, scaled + count, codes + begin, f32_to_e2m1);
    else
      encode_elements(type, scaled, count, reinterpret_cast<std::byte*>(codes + begin));
  }
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

struct GroupQuantizer::Extremes {
  float low = 0.0f;   ///< min(0, x)
  float high = 0.0f;  ///< max(0, x)

  static Extremes of(std::span<const float> x) {
    Extremes e;
    kernel::group_rounding_kernel().ranges(x.data(), 1, static_cast<std::int64_t>(x.size()), &e.low, &e.high);
    return e;
  }
  /// By the range rule.
  static Extremes of(std::span<const float> x, const RangeRule& rule) {
    if (rule.kind != RangeRule::Kind::kPercentile) return of(x);
    std::vector<float> below;
    std::vector<float> above;
    for (const float v : x) (v < 0 ? below : above).push_back(std::fabs(v));
    return {-percentile_of(below, rule.percentile), percentile_of(above, rule.percentile)};
  }
};

GroupQuantizer::GroupQuantizer(const QuantScheme& scheme, const RangeRule& range)
    : scheme_(scheme),
      range_(range),
      table_(table_values(scheme.code.table)),
      steps_(table_),
      table_limit_(table_limit()) {}

float GroupQuantizer::table_limit() const {
  const CodeFormat& code = scheme_.code;
  if (code.kind == CodeFormat::Kind::kFloat) return floats_of(code.float_type).largest;
  float limit = 0;
  for (const float v : table_) limit = std::max(limit, std::fabs(v));
  return limit > 0 ? limit : 1.0f;
}

/// The grid is that of the group's extremes, or searched from there.
bool GroupQuantizer::follows_from_extremes() const {
  return range_.kind != RangeRule::Kind::kPercentile && scheme_.code.table != TableKind::kBinary &&
         !is_ternary(scheme_.code);
}

/// Scale of the grid that reaches from extreme to extreme; 0 for an all-zero group.
float GroupQuantizer::range_scale(const Extremes& e) const {
  const CodeFormat& code = scheme_.code;
  const auto levels = static_cast<float>(1 << code.bits);
  if (scheme_.zero_kind == ZeroKind::kInteger) return (e.high - e.low) / (levels - 1.0f);
  const float magnitude = std::max(-e.low, e.high);
  if (code.kind != CodeFormat::Kind::kInteger) return magnitude / table_limit_;
  if (range_.kind == RangeRule::Kind::kGptq) return 2.0f * magnitude / (levels - 1.0f);
  if (range_.kind == RangeRule::Kind::kAbsmax && code.bits > 1) return magnitude / (levels / 2.0f - 1.0f);
  // Full range: the extreme of larger magnitude (the first on a tie in sign order) maps to the lowest code.
  const float sign = -e.low >= e.high ? 1.0f : -1.0f;
  return sign * magnitude / (levels / 2.0f);
}

/// Scale of a symmetric grid that does not follow from the extremes.
float GroupQuantizer::symmetric_scale(std::span<const float> x) const {
  if (scheme_.code.table == TableKind::kBinary) return mean_magnitude(x);
  if (is_ternary(scheme_.code)) return ternary_scale(x);
  const Extremes e = Extremes::of(x);
  const float magnitude = percentile_magnitude(x, range_.percentile);
  return range_scale(-e.low >= e.high ? Extremes{-magnitude, 0.0f} : Extremes{0.0f, magnitude});
}

std::int32_t GroupQuantizer::zero_for(const Extremes& e, float scale) const {
  const auto top = static_cast<float>((1 << scheme_.code.bits) - 1);
  if (scale == 0.0f) return 0;
  return static_cast<std::int32_t>(std::clamp(std::nearbyint(-e.low / scale), 0.0f, top));
}

std::int32_t GroupQuantizer::zero_for(std::span<const float> x, float scale) const {
  return scheme_.zero_kind == ZeroKind::kInteger ? zero_for(Extremes::of(x, range_), scale) : 0;
}

GroupGrid GroupQuantizer::choose(std::span<const float> x, const RoundScales& round_scales) const {
  GroupGrid grid;
  if (follows_from_extremes()) {
    choose_each(x, static_cast<std::int64_t>(x.size()), round_scales, {&grid, 1});
    return grid;
  }
  grid.scale = scheme_.zero_kind == ZeroKind::kInteger ? range_scale(Extremes::of(x, range_)) : symmetric_scale(x);
  if (grid.scale == 0.0f) grid.scale = 1.0f;  // an all-zero group: every code stands for 0
  round_scales({&grid.scale, 1});
  grid.zero = zero_for(x, grid.scale);
  return grid;
}

void GroupQuantizer::choose_each(std::span<const float> x, std::int64_t size, const RoundScales& round_scales,
                                 std::span<GroupGrid> grids) const {
  const auto length = static_cast<std::size_t>(size);
  if (!follows_from_extremes()) {
    for (std::size_t g = 0; g < grids.size(); ++g) grids[g] = choose(x.subspan(g * length, length), round_scales);
    return;
  }
  float low[kAtOnce];
  float high[kAtOnce];
  for (std::size_t first = 0; first < grids.size(); first += kAtOnce) {
    const std::span<GroupGrid> some = grids.subspan(first, std::min(kAtOnce, grids.size() - first));
    const float* begin = x.data() + first * length;
    kernel::group_rounding_kernel().ranges(begin, static_cast<std::int64_t>(some.size()), size, low, high);
    if (range_.kind != RangeRule::Kind::kMse) {
      full_ranges(low, high, round_scales, some);
      continue;
    }
    for (std::size_t g = 0; g < some.size(); ++g)
      some[g] = least_squares({begin + g * length, length}, {low[g], high[g]}, round_scales);
  }
}

/// The grids from extreme to extreme, kAtOnce of them at most.
void GroupQuantizer::full_ranges(const float* low, const float* high, const RoundScales& round_scales,
                                 std::span<GroupGrid> grids) const {
  std::array<float, kAtOnce> scales;
  for (std::size_t g = 0; g < grids.size(); ++g) {
    scales[g] = range_scale({low[g], high[g]});
    if (scales[g] == 0.0f) scales[g] = 1.0f;
  }
  round_scales({scales.data(), grids.size()});
  const bool has_zeros = scheme_.zero_kind == ZeroKind::kInteger;
  for (std::size_t g = 0; g < grids.size(); ++g)
    grids[g] = {scales[g], has_zeros ? zero_for(Extremes{low[g], high[g]}, scales[g]) : 0};
}

/// The code range that the range rule leaves.
GroupQuantizer::CodeRange GroupQuantizer::code_range() const {
  const CodeFormat& code = scheme_.code;
  const bool restricted = range_.kind == RangeRule::Kind::kAbsmax && scheme_.zero_kind == ZeroKind::kNone &&
                          code.bits > 1 && !is_ternary(code);
  return {restricted ? 1.0f : 0.0f, is_ternary(code) ? 2.0f : static_cast<float>((1 << code.bits) - 1)};
}

/// Shrunken ranges, both signs of a symmetric scale and both neighbours of the zero point.
class GroupQuantizer::Trials {
 public:
  Trials(const GroupQuantizer& quantizer, const Extremes& e, const RoundScales& round_scales)
      : bias_(static_cast<float>(quantizer.scheme_.code.bias)) {
    const QuantScheme& scheme = quantizer.scheme_;
    const bool asymmetric = scheme.zero_kind == ZeroKind::kInteger;
    const bool integers = scheme.code.kind == CodeFormat::Kind::kInteger;
    const auto top = static_cast<float>((1 << std::min<int>(scheme.code.bits, 8)) - 1);
    const float extent = asymmetric ? e.high - e.low : std::max(-e.low, e.high);
    const float limit = asymmetric ? top : integers ? (top + 1.0f) / 2.0f : quantizer.table_limit_;
    std::array<float, kSteps> parts;
    for (std::size_t step = 0; step < kSteps; ++step) parts[step] = kParts[step] * extent / limit;
    if (asymmetric) {
      add_pairs(parts, round_scales, e.low, top);
      return;
    }
    for (std::size_t step = 0; integers && step < kSteps; ++step) {
      scales_[2 * step] = parts[step];
      scales_[2 * step + 1] = -parts[step];
    }
    if (!integers) std::copy(parts.begin(), parts.end(), scales_.begin());
    const std::size_t wanted = integers ? 2 * kSteps : kSteps;
    round_in_vectors(scales_, wanted, round_scales);
    codes_of_zero_.fill(bias_);
    if (are_usable(wanted)) {
      count_ = wanted;
      return;
    }
    for (std::size_t i = 0; i < wanted; ++i) add(scales_[i], bias_);
  }

  int count() const { return static_cast<int>(count_); }
  GroupGrid grid(int trial) const {
    const auto at = static_cast<std::size_t>(trial);
    return {scales_[at], static_cast<std::int32_t>(codes_of_zero_[at] - bias_)};
  }
  kernel::GridTrials view() const { return {scales_.data(), codes_of_zero_.data(), count()}; }

 private:
  static constexpr std::size_t kSteps = 41;
  static constexpr std::size_t kRoom = 96;  ///< for both signs or neighbours, in whole vectors
  /// 1.05 down to 0.40 of the range.
  static constexpr std::array<float, kSteps> kParts = [] {
    std::array<float, kSteps> parts{};
    for (std::size_t step = 0; step < kSteps; ++step)
      parts[step] = 1.05f - static_cast<float>(step) * (0.65f / static_cast<float>(kSteps - 1));
    return parts;
  }();

  static void round_in_vectors(std::array<float, kRoom>& scales, std::size_t count, const RoundScales& round_scales) {
    const std::size_t whole = (count + 15) / 16 * 16;
    std::fill(scales.begin() + count, scales.begin() + whole, scales[count - 1]);
    round_scales({scales.data(), whole});
  }

  /// Every scale with the zero points below and above the real one.
  void add_pairs(const std::array<float, kSteps>& parts, const RoundScales& round_scales, float low, float top) {
    std::array<float, kRoom> scales;
    std::copy(parts.begin(), parts.end(), scales.begin());
    round_in_vectors(scales, kSteps, round_scales);
    for (std::size_t step = 0; step < kSteps; ++step) {
      if (scales[step] == 0.0f) continue;
      const float real_zero = std::clamp(-kParts[step] * low / scales[step], 0.0f, top);
      const auto below = static_cast<float>(static_cast<std::int32_t>(real_zero));
      add(scales[step], bias_ + below);
      add(scales[step], bias_ + below + (below < real_zero ? 1.0f : 0.0f));
    }
  }

  /// Neither 0 nor infinite, in a form that loops over scales can be vectors of.
  static bool is_usable(float scale) { return (std::bit_cast<std::uint32_t>(scale) & 0x7FFFFFFFu) - 1u < 0x7F7FFFFFu; }
  bool are_usable(std::size_t count) const {
    std::uint32_t unusable = 0;
    for (std::size_t i = 0; i < count; ++i) unusable |= is_usable(scales_[i]) ? 0u : 1u;
    return unusable == 0;
  }

  void add(float scale, float code_of_zero) {
    scales_[count_] = scale;
    codes_of_zero_[count_] = code_of_zero;
    count_ += is_usable(scale) ? 1 : 0;
  }

  float bias_;
  std::array<float, kRoom> scales_;
  std::array<float, kRoom> codes_of_zero_;
  std::size_t count_ = 0;
};

/// The trial of least error; the first of equals.
GroupGrid GroupQuantizer::least_squares(std::span<const float> x, const Extremes& e,
                                        const RoundScales& round_scales) const {
  GroupGrid none{1.0f, 0};
  if (std::max(-e.low, e.high) == 0.0f) {
    round_scales({&none.scale, 1});
    return none;
  }
  const Trials trials(*this, e, round_scales);
  const CodeRange range = code_range();
  kernel::GridCodes codes{range.low, range.high, table_.empty() ? nullptr : table_.data(),
                          static_cast<int>(table_.size())};
  const kernel::GridFloats floats = floats_of(scheme_.code.float_type);
  if (scheme_.code.kind == CodeFormat::Kind::kFloat) codes.floats = &floats;
  const int best =
      kernel::grid_search_kernel().search(x.data(), static_cast<std::int64_t>(x.size()), trials.view(), codes);
  if (best >= 0) return trials.grid(best);
  round_scales({&none.scale, 1});
  return none;
}

void GroupQuantizer::encode(std::span<const float> x, const GroupGrid& grid, std::uint8_t* codes) const {
  encode_each(x, static_cast<std::int64_t>(x.size()), {&grid, 1}, codes);
}

void GroupQuantizer::encode_each(std::span<const float> x, std::int64_t size, std::span<const GroupGrid> grids,
                                 std::uint8_t* codes) const {
  const CodeFormat& code = scheme_.code;
  const auto length = static_cast<std::size_t>(size);
  if (code.kind == CodeFormat::Kind::kFloat) {
    for (std::size_t g = 0; g < grids.size(); ++g)
      encode_floats(code.float_type, x.subspan(g * length, length), grids[g].scale, codes + g * length);
    return;
  }
  float scales[kAtOnce];
  float shifts[kAtOnce];
  const CodeRange range = code_range();
  for (std::size_t first = 0; first < grids.size(); first += kAtOnce) {
    const std::size_t count = std::min(kAtOnce, grids.size() - first);
    for (std::size_t g = 0; g < count; ++g) {
      scales[g] = grids[first + g].scale;
      shifts[g] = static_cast<float>(code.bias + grids[first + g].zero);
    }
    const kernel::ScaledGroups groups{x.data() + first * length, static_cast<std::int64_t>(count), size, scales};
    std::uint8_t* to = codes + first * length;
    if (code.kind == CodeFormat::Kind::kTable)
      kernel::group_rounding_kernel().entries(groups, steps_.view(), to);
    else
      kernel::group_rounding_kernel().integers(groups, shifts, range.low, range.high, to);
  }
}

}  // namespace nibble
