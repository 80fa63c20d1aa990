// Every search kernel by name against the definition in scalar code.
#include "kernel/grid_search/grid_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "kernel/testing/guarded.h"

namespace nibble::kernel {
namespace {

constexpr GridFloats kE4m3{448.0f, 0x1p-6f, 0x1p-3f};
constexpr float kTable[] = {-1.0f, -0.5f, 0.0f, 0.25f, 0.25f, 1.0f};

/// Of all values of E4M3, the one of even mantissa on a tie.
float nearest_float(float x, const GridFloats& floats) {
  const float size = std::min(std::fabs(x), floats.largest);
  int exponent = 0;
  std::frexp(std::max(size, floats.least_normal), &exponent);
  const double spacing = std::ldexp(static_cast<double>(floats.spacing), exponent - 1);
  return std::copysign(static_cast<float>(std::nearbyint(static_cast<double>(size) / spacing) * spacing), x);
}

float nearest(float x, float zero, const GridCodes& codes) {
  if (codes.floats != nullptr) return nearest_float(x, *codes.floats);
  if (codes.table == nullptr)
    return std::clamp(std::nearbyint(std::clamp(x, -512.0f, 512.0f)) + zero, codes.low, codes.high) - zero;
  int best = 0;
  for (int i = 1; i < codes.entries; ++i)
    if (std::fabs(x - codes.table[i]) < std::fabs(x - codes.table[best])) best = i;
  return codes.table[best];
}

BestGrid by_definition(std::span<const float> x, const GridTrials& trials, const GridCodes& codes) {
  BestGrid best{-1, std::numeric_limits<double>::infinity()};
  for (int t = 0; t < trials.count; ++t) {
    double error = 0;
    for (const float v : x) {
      const float value = trials.scales[t] * nearest(v / trials.scales[t], trials.zeros[t], codes);
      const double difference = static_cast<double>(v) - static_cast<double>(value);
      error += difference * difference;
    }
    if (error < best.error) best = {t, error};
  }
  return best;
}

TEST(GridSearch, FindsTheFirstOfTheBestTrials) {
  testing::Numbers numbers(5);
  for (const GridSearchKernel* kernel : grid_search_kernels()) {
    if (!can_run(kernel->info, detected_cpu_features())) continue;
    for (int round = 0; round < 400; ++round) {
      testing::Guarded<float> x(static_cast<std::size_t>(round % 70));
      for (float& v : x.span()) v = numbers.uniform(-1.0f, 1.0f) * (numbers.bits() % 20 == 0 ? 1e30f : 1.0f);
      testing::Guarded<float> scales(static_cast<std::size_t>(round % 90));
      testing::Guarded<float> zeros(scales.span().size());
      for (std::size_t t = 0; t < scales.span().size(); ++t) {
        scales.span()[t] = t % 5 == 4 ? scales.span()[t - 1] : std::ldexp(numbers.uniform(-1.0f, 1.0f), -round % 9);
        zeros.span()[t] = t % 5 == 4 ? zeros.span()[t - 1] : static_cast<float>(numbers.bits() % 16);
      }
      const GridTrials trials{scales.data(), zeros.data(), static_cast<int>(scales.span().size())};
      GridCodes codes{round % 2 == 0 ? 1.0f : 0.0f, 15.0f};
      if (round % 3 == 0) codes = {0.0f, 0.0f, kTable, 6};
      if (round % 5 == 0) codes = {.floats = &kE4m3};
      const BestGrid expected = by_definition(x.span(), trials, codes);
      const BestGrid found = kernel->search(x.data(), static_cast<std::int64_t>(x.span().size()), trials, codes);
      ASSERT_EQ(found.trial, expected.trial) << kernel->info.name << ", round " << round;
      ASSERT_EQ(found.error, expected.error) << kernel->info.name << ", round " << round;
    }
  }
  if (const std::string names = testing::skipped_kernels(grid_search_kernels()); !names.empty())
    GTEST_SKIP() << "not run on this machine: " << names;
}

TEST(GridSearch, InfiniteErrorsAreNoChoice) {
  const float x[] = {3e38f, -3e38f};
  const float scales[] = {3e38f, -3e38f};
  const float zeros[] = {8.0f, 8.0f};
  const GridCodes only_far{0.0f, 1.0f, nullptr, 0};
  for (const GridSearchKernel* kernel : grid_search_kernels()) {
    if (!can_run(kernel->info, detected_cpu_features())) continue;
    EXPECT_EQ(kernel->search(x, 2, {scales, zeros, 2}, only_far).trial, -1) << kernel->info.name;
  }
}

}  // namespace
}  // namespace nibble::kernel
