#include "quant/rtn/table_steps.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace nibble {
namespace {

/// The largest float that is nearer to `low` than to `high`, or as near where `low_wins`.
float last_below(float low, float high, bool low_wins) {
  const auto is_below = [&](float x) {
    const float to_low = std::fabs(x - low);
    const float to_high = std::fabs(x - high);
    return to_low < to_high || (low_wins && to_low == to_high);
  };
  float below = low;
  float above = high;
  for (;;) {
    const float middle = below + (above - below) / 2.0f;
    if (!(below < middle && middle < above)) return below;
    (is_below(middle) ? below : above) = middle;
  }
}

}  // namespace

TableSteps::TableSteps(std::span<const float> table) : codes_(table.size()) {
  std::iota(codes_.begin(), codes_.end(), std::uint8_t{0});
  std::stable_sort(codes_.begin(), codes_.end(), [&](std::uint8_t a, std::uint8_t b) { return table[a] < table[b]; });
  const auto same = [&](std::uint8_t a, std::uint8_t b) { return table[a] == table[b]; };
  codes_.erase(std::unique(codes_.begin(), codes_.end(), same), codes_.end());
  for (std::size_t i = 0; i + 1 < codes_.size(); ++i)
    bounds_.push_back(last_below(table[codes_[i]], table[codes_[i + 1]], codes_[i] < codes_[i + 1]));
}

}  // namespace nibble
