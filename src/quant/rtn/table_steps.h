// A constant table's codes in the order of their values, and where one becomes nearer than the next: what nearest
// entries are found by.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernel/group_rounding/group_rounding.h"

namespace nibble {

/// The nearest entry is the one at the least distance |x - entry| in float32, on a tie the one of the lower code; of
/// equal entries (+0 and -0) only the one of the lowest code is taken.
class TableSteps {
 public:
  explicit TableSteps(std::span<const float> table);

  kernel::CodeSteps view() const { return {bounds_.data(), codes_.data(), static_cast<int>(codes_.size())}; }

 private:
  std::vector<float> bounds_;
  std::vector<std::uint8_t> codes_;
};

}  // namespace nibble
