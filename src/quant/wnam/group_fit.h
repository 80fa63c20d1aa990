// The scale (and offset) that a group of weights wants with a given codebook: value = scale * table[code] + offset.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tensor/quant_scheme.h"

namespace nibble {

struct GroupFit {
  float scale = 1.0f;
  float offset = 0.0f;
  double loss = 0;  ///< sum of importance * (weight - value)^2, scale and offset as they are stored
};

/// Fits groups of one scheme; reuses its buffers from group to group.
class GroupFitter {
 public:
  explicit GroupFitter(const QuantScheme& scheme) : scheme_(scheme) {}

  /// The best of trial scales of either sign, and of `start`, each settled by weighted least squares.
  GroupFit from_scratch(const GroupFit& start, std::span<const float> w, std::span<const float> importance,
                        std::span<const float> table);
  /// The best of scales around that of `fit`, which was made for another table.
  GroupFit around(const GroupFit& fit, std::span<const float> w, std::span<const float> importance,
                  std::span<const float> table);
  /// Scale 1 and no offset, for schemes that have none.
  GroupFit unscaled(std::span<const float> w, std::span<const float> importance, std::span<const float> table);
  /// The nearest codes of w.
  void encode(const GroupFit& fit, std::span<const float> w, std::span<const float> table, std::uint8_t* codes);

 private:
  void attempt(float scale, float offset, std::span<const float> w, std::span<const float> importance,
               std::span<const float> table, GroupFit& best);
  GroupFit least_squares(std::span<const float> w, std::span<const float> importance, std::span<const float> table);
  GroupFit stored(GroupFit fit) const;
  /// Chooses codes, and adds what they lose.
  GroupFit with_loss(GroupFit fit, std::span<const float> w, std::span<const float> importance,
                     std::span<const float> table);

  const QuantScheme& scheme_;
  std::vector<float> shifted_;
  std::vector<std::uint8_t> codes_;
};

}  // namespace nibble
