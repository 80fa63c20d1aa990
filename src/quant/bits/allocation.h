// Choosing one of several sizes for every unit: the least sum of losses within a budget.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/result.h"

namespace nibble {

/// What a unit may become.
struct SizedChoice {
  std::int64_t size = 0;  ///< in whatever the budget counts
  double loss = 0;        ///< not negative, finite
};

/// For every unit the number of its choice, such that the sizes add up to at most `budget` and the losses to little:
/// the exact optimum or, where the sizes have so little in common that there are more than 65536 sums, that for sizes
/// rounded up to a 65536th part of what lies between the smallest and the largest. The grid is the same for every
/// budget, so that a larger budget never loses more. The smallest choices must fit; each unit has one choice at least.
std::vector<std::size_t> allocate_sizes(const std::vector<std::vector<SizedChoice>>& units, std::int64_t budget);

}  // namespace nibble
