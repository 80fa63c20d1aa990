// The steps of every constant table against a search through the table.
#include "quant/rtn/table_steps.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/quantized_matrix.h"

namespace nibble {
namespace {

std::uint8_t nearest_of_all(float x, std::span<const float> table) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < table.size(); ++i)
    if (std::fabs(x - table[i]) < std::fabs(x - table[best])) best = i;
  return static_cast<std::uint8_t>(best);
}

std::uint8_t nearest_by_steps(float x, const kernel::CodeSteps& steps) {
  return steps.codes[std::count_if(steps.bounds, steps.bounds + steps.count - 1, [=](float b) { return b < x; })];
}

TEST(TableSteps, LeadToTheNearestEntry) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const TableKind kind : {TableKind::kNf4, TableKind::kFp4, TableKind::kIq4, TableKind::kBinary}) {
    const std::span<const float> table = table_values(kind);
    ASSERT_FALSE(table.empty());
    const TableSteps steps(table);
    std::vector<float> sorted(table.begin(), table.end());
    std::sort(sorted.begin(), sorted.end());
    const auto check = [&](float x) {
      EXPECT_EQ(nearest_by_steps(x, steps.view()), nearest_of_all(x, table))
          << x << " in table " << static_cast<int>(kind);
    };
    for (std::size_t i = 0; i + 1 < sorted.size(); ++i) {
      const float middle = (sorted[i] + sorted[i + 1]) / 2.0f;
      float below = middle;
      float above = middle;
      check(middle);
      for (int step = 0; step < 20; ++step) {
        check(below = std::nextafter(below, -kInfinity));
        check(above = std::nextafter(above, kInfinity));
      }
    }
    const float reach = 1.5f * std::max(-sorted.front(), sorted.back());
    for (int i = -2000; i <= 2000; ++i) check(reach * static_cast<float>(i) / 2000.0f);
  }
}

/// Where every difference from a number rounds to the number itself.
TEST(TableSteps, FarNumbersTakeTheLastEntry) {
  const std::span<const float> table = table_values(TableKind::kNf4);
  const TableSteps steps(table);
  EXPECT_EQ(nearest_by_steps(1e30f, steps.view()), 15);
  EXPECT_EQ(nearest_by_steps(-1e30f, steps.view()), 0);
}

}  // namespace
}  // namespace nibble
