// One group's grid: the scale, zero point and codes that round-to-nearest gives a run of weights.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "quant/rtn/range.h"
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

  /// codes[i] = the nearest code of x[i] on the grid, clamped; one byte each. `grid.scale` is the stored scale.
  void encode(std::span<const float> x, const GroupGrid& grid, std::uint8_t* codes) const;

  /// The nearest zero point for a scale that was changed by storing.
  std::int32_t zero_for(std::span<const float> x, float scale) const;

 private:
  float table_limit() const;
  float symmetric_scale(std::span<const float> x) const;
  GroupGrid least_squares(std::span<const float> x, const RoundScales& round_scales) const;

  struct CodeRange {
    float low;
    float high;
  };
  CodeRange code_range() const;
  class Trials;

  const QuantScheme& scheme_;
  RangeRule range_;
  std::span<const float> table_;
};

/// Replaces NaN by 0 and infinities by the group's largest finite magnitude; returns how many were replaced.
std::int64_t make_finite(std::span<float> x);

/// Rounds to the nearest integer, ties to even, for |x| < 2^22.
inline float round_even(float x) noexcept {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: the sum has no fraction bits left
  return (x + kMagic) - kMagic;
}

}  // namespace nibble
