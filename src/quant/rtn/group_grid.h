// One group's grid: the scale, zero point and codes that round-to-nearest gives a run of weights.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "quant/rtn/range.h"
#include "quant/rtn/table_steps.h"
#include "tensor/quant_scheme.h"

namespace nibble {

/// The parameters of a group before they are stored.
struct GroupGrid {
  float scale = 1.0f;
  std::int32_t zero = 0;  ///< integer zero point, 0 unless asymmetric
};

/// Chooses grids and codes for groups of one scheme. Weights must be finite (see make_finite).
class GroupQuantizer {
 public:
  GroupQuantizer(const QuantScheme& scheme, const RangeRule& range);

  /// The grid for weights x. `round_scales` does to scales what storing does; the zero point is chosen for the rounded
  /// one.
  using RoundScales = std::function<void(std::span<float>)>;
  GroupGrid choose(std::span<const float> x, const RoundScales& round_scales) const;

  /// The grids of groups of `size` weights that follow each other.
  void choose_each(std::span<const float> x, std::int64_t size, const RoundScales& round_scales,
                   std::span<GroupGrid> grids) const;

  /// codes[i] = the nearest code of x[i] on the grid, clamped; one byte each. `grid.scale` is the stored scale.
  void encode(std::span<const float> x, const GroupGrid& grid, std::uint8_t* codes) const;

  /// The same of groups of `size` weights that follow each other, one per grid.
  void encode_each(std::span<const float> x, std::int64_t size, std::span<const GroupGrid> grids,
                   std::uint8_t* codes) const;

  /// The nearest zero point for a scale that was changed by storing.
  std::int32_t zero_for(std::span<const float> x, float scale) const;

 private:
  static constexpr std::size_t kAtOnce = 64;  ///< groups

  struct Extremes;
  float table_limit() const;
  bool follows_from_extremes() const;
  float range_scale(const Extremes& e) const;
  float symmetric_scale(std::span<const float> x) const;
  std::int32_t zero_for(const Extremes& e, float scale) const;
  void full_ranges(const float* low, const float* high, const RoundScales& round_scales,
                   std::span<GroupGrid> grids) const;
  GroupGrid least_squares(std::span<const float> x, const Extremes& e, const RoundScales& round_scales) const;

  struct CodeRange {
    float low;
    float high;
  };
  CodeRange code_range() const;
  class Trials;

  const QuantScheme& scheme_;
  RangeRule range_;
  std::span<const float> table_;
  TableSteps steps_;
  float table_limit_;
};

/// Replaces NaN by 0 and infinities by the group's largest finite magnitude; returns how many were replaced.
std::int64_t make_finite(std::span<float> x);

/// Rounds to the nearest integer, ties to even, for |x| < 2^22.
inline float round_even(float x) noexcept {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: the sum has no fraction bits left
  return (x + kMagic) - kMagic;
}

}  // namespace nibble
