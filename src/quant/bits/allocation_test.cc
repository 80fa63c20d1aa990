// Against every combination, and what holds for any budget.
#include "quant/bits/allocation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace nibble {
namespace {

using Units = std::vector<std::vector<SizedChoice>>;

struct Total {
  std::int64_t size = 0;
  double loss = 0;
};

Total total_of(const Units& units, const std::vector<std::size_t>& chosen) {
  Total out;
  for (std::size_t u = 0; u < units.size(); ++u) {
    out.size += units[u][chosen[u]].size;
    out.loss += units[u][chosen[u]].loss;
  }
  return out;
}

/// Sizes in no order, losses that mostly fall with them.
Units random_units(std::size_t count, std::int64_t scale, std::mt19937& random) {
  Units units(count);
  for (std::vector<SizedChoice>& choices : units) {
    const std::size_t n = 1 + random() % 4;
    for (std::size_t c = 0; c < n; ++c) {
      const auto size = static_cast<std::int64_t>(2 + random() % 9);
      choices.push_back({size * scale, static_cast<double>(random() % 1000) / static_cast<double>(size)});
    }
  }
  return units;
}

double best_by_trying_all(const Units& units, std::int64_t budget) {
  double best = 1e300;
  std::vector<std::size_t> chosen(units.size(), 0);
  for (;;) {
    const Total total = total_of(units, chosen);
    if (total.size <= budget) best = std::min(best, total.loss);
    std::size_t u = 0;
    while (u < units.size() && ++chosen[u] == units[u].size()) chosen[u++] = 0;
    if (u == units.size()) return best;
  }
}

std::pair<std::int64_t, std::int64_t> range_of(const Units& units) {
  std::pair<std::int64_t, std::int64_t> out;
  for (const std::vector<SizedChoice>& choices : units) {
    const auto by_size = [](const SizedChoice& a, const SizedChoice& b) { return a.size < b.size; };
    out.first += std::min_element(choices.begin(), choices.end(), by_size)->size;
    out.second += std::max_element(choices.begin(), choices.end(), by_size)->size;
  }
  return out;
}

TEST(Allocation, IsTheBestOfAllCombinations) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    const Units units = random_units(1 + random() % 6, 1, random);
    const auto [low, high] = range_of(units);
    for (std::int64_t budget = low; budget <= high + 1; ++budget) {
      const Total total = total_of(units, allocate_sizes(units, budget));
      EXPECT_LE(total.size, budget);
      EXPECT_DOUBLE_EQ(total.loss, best_by_trying_all(units, budget));
    }
  }
}

/// Sizes of real matrices, where the grid is coarser than a byte.
TEST(Allocation, KeepsTheBudgetAndMoreIsNeverWorse) {
  std::mt19937 random(2);
  const Units units = random_units(300, 1234567, random);
  const auto [low, high] = range_of(units);
  double last = 1e300;
  for (int part = 0; part <= 200; ++part) {
    const std::int64_t budget = low + (high - low) / 200 * part;
    const Total total = total_of(units, allocate_sizes(units, budget));
    EXPECT_LE(total.size, budget);
    EXPECT_LE(total.loss, last);
    last = total.loss;
  }
  double least = 0;
  for (const std::vector<SizedChoice>& choices : units) {
    double best = 1e300;
    for (const SizedChoice& choice : choices) best = std::min(best, choice.loss);
    least += best;
  }
  EXPECT_NEAR(last, least, 0.01 * least) << "with all that can be spent little is lost to the grid";
}

}  // namespace
}  // namespace nibble
