// Optimal k-means against exhaustive search, and nearest codes against their definition.
#include "quant/rtn/codebook.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace nibble {
namespace {

double cost_of(const std::vector<WeightedValue>& values, const std::vector<float>& centres) {
  double total = 0;
  for (const WeightedValue& v : values) {
    double best = std::numeric_limits<double>::infinity();
    for (const float c : centres)
      best = std::min(best, std::pow(static_cast<double>(v.value) - static_cast<double>(c), 2));
    total += v.weight * best;
  }
  return total;
}

/// The least cost over all ways to cut the sorted values into k runs, each with its weighted mean.
double exhaustive_cost(std::vector<WeightedValue> values, int k) {
  std::sort(values.begin(), values.end(), [](const auto& a, const auto& b) { return a.value < b.value; });
  const auto n = static_cast<int>(values.size());
  const auto run_cost = [&](int begin, int end) {
    double w = 0;
    double wx = 0;
    for (int i = begin; i < end; ++i) {
      w += values[static_cast<std::size_t>(i)].weight;
      wx += values[static_cast<std::size_t>(i)].weight * static_cast<double>(values[static_cast<std::size_t>(i)].value);
    }
    double cost = 0;
    for (int i = begin; i < end; ++i)
      cost += values[static_cast<std::size_t>(i)].weight *
              std::pow(static_cast<double>(values[static_cast<std::size_t>(i)].value) - wx / w, 2);
    return cost;
  };
  const auto search = [&](auto&& self, int begin, int parts) -> double {
    if (parts == 1) return begin < n ? run_cost(begin, n) : 0.0;
    double best = begin < n ? run_cost(begin, n) : 0.0;
    for (int end = begin + 1; end < n; ++end) best = std::min(best, run_cost(begin, end) + self(self, end, parts - 1));
    return best;
  };
  return search(search, 0, k);
}

TEST(Codebook, IsOptimal) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (int round = 0; round < 200; ++round) {
    const int k = 1 + static_cast<int>(random() % 4);
    std::vector<WeightedValue> values(1 + random() % 11);
    for (WeightedValue& v : values)
      v = {round % 3 == 0 ? std::round(normal(random) * 2) : normal(random), 0.1 + static_cast<double>(random() % 10)};
    const double expected = exhaustive_cost(values, k);
    std::vector<WeightedValue> copy = values;
    const std::vector<float> centres = optimal_codebook(copy, k);
    ASSERT_EQ(centres.size(), static_cast<std::size_t>(k));
    EXPECT_TRUE(std::is_sorted(centres.begin(), centres.end()));
    EXPECT_NEAR(cost_of(values, centres), expected, 1e-5 * (1.0 + expected)) << "k " << k << ", n " << values.size();
  }
}

TEST(Codebook, HandlesFewDistinctValuesAndNone) {
  std::vector<WeightedValue> same(5, {2.5f, 1.0});
  EXPECT_EQ(optimal_codebook(same, 4), (std::vector<float>{2.5f, 2.5f, 2.5f, 2.5f}));
  std::vector<WeightedValue> none;
  EXPECT_EQ(optimal_codebook(none, 2), (std::vector<float>{0.0f, 0.0f}));
  EXPECT_EQ(binned_codebook(std::vector<WeightedValue>(10, {-1.0f, 1.0}), 2), (std::vector<float>{-1.0f, -1.0f}));
}

TEST(Codebook, BinnedIsNearTheOptimum) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<WeightedValue> weighted;
  for (int i = 0; i < 20000; ++i) weighted.push_back({normal(random), i % 3 == 0 ? 4.0 : 1.0});
  std::vector<WeightedValue> copy = weighted;
  const double best = cost_of(weighted, optimal_codebook(copy, 16));
  EXPECT_LE(cost_of(weighted, binned_codebook(weighted, 16)), best * 1.001);
}

TEST(Codebook, NearestCodes) {
  const std::vector<float> table{-1.0f, 0.0f, 0.5f, 2.0f};
  const std::vector<float> x{-9.0f, -0.5f, -0.49f, 0.25f, 0.26f, 1.25f, 9.0f};
  std::vector<std::uint8_t> codes(x.size());
  nearest_codes(x, 1.0f, table, codes.data());
  EXPECT_EQ(codes, (std::vector<std::uint8_t>{0, 0, 1, 1, 2, 2, 3}));
}

}  // namespace
}  // namespace nibble
