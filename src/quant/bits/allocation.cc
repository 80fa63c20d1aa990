// Dynamic programming over the units: least[s] is the least loss of the units so far with s steps spent.
#include "quant/bits/allocation.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/check.h"

namespace nibble {
namespace {

constexpr std::int64_t kSteps = 65536;

std::int64_t smallest(const std::vector<SizedChoice>& choices) {
  const auto least = std::min_element(choices.begin(), choices.end(),
                                      [](const SizedChoice& a, const SizedChoice& b) { return a.size < b.size; });
  return least->size;
}

std::int64_t largest(const std::vector<SizedChoice>& choices) {
  std::int64_t out = 0;
  for (const SizedChoice& choice : choices) out = std::max(out, choice.size);
  return out;
}

/// What all differences of sizes are multiples of: sizes of matrices have much in common.
std::int64_t common_step(const std::vector<std::vector<SizedChoice>>& units) {
  std::int64_t step = 0;
  for (const std::vector<SizedChoice>& choices : units)
    for (const SizedChoice& choice : choices) step = std::gcd(step, choice.size - choices.front().size);
  return std::max<std::int64_t>(step, 1);
}

}  // namespace

std::vector<std::size_t> allocate_sizes(const std::vector<std::vector<SizedChoice>>& units, std::int64_t budget) {
  std::int64_t low = 0;
  std::int64_t high = 0;
  for (const std::vector<SizedChoice>& choices : units) {
    NIBBLE_CHECK(!choices.empty() && choices.size() < 256);
    low += smallest(choices);
    high += largest(choices);
  }
  NIBBLE_CHECK(low <= budget);
  const std::int64_t unit = common_step(units);
  const std::int64_t step = unit * std::max<std::int64_t>(1, (high - low + unit * kSteps - 1) / (unit * kSteps));
  const auto steps = static_cast<std::size_t>(std::min(budget - low, high - low) / step) + 1;
  constexpr double kImpossible = std::numeric_limits<double>::infinity();
  std::vector<double> least(steps, 0.0);
  std::vector<std::vector<std::uint8_t>> picked;
  for (const std::vector<SizedChoice>& choices : units) {
    const std::int64_t base = smallest(choices);
    std::vector<double> next(steps, kImpossible);
    std::vector<std::uint8_t> pick(steps, 0);
    for (std::size_t c = 0; c < choices.size(); ++c) {
      const auto cost = static_cast<std::size_t>((choices[c].size - base + step - 1) / step);
      for (std::size_t s = cost; s < steps; ++s) {
        const double loss = least[s - cost] + choices[c].loss;
        if (loss >= next[s]) continue;
        next[s] = loss;
        pick[s] = static_cast<std::uint8_t>(c);
      }
    }
    least = std::move(next);
    picked.push_back(std::move(pick));
  }
  std::vector<std::size_t> out(units.size());
  std::size_t left = steps - 1;
  for (std::size_t u = units.size(); u-- > 0;) {
    out[u] = picked[u][left];
    const std::int64_t extra = units[u][out[u]].size - smallest(units[u]);
    left -= static_cast<std::size_t>((extra + step - 1) / step);
  }
  return out;
}

}  // namespace nibble
