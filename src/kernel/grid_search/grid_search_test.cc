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

int by_definition(std::span<const float> x, const GridTrials& trials, const GridCodes& codes) {
  int best = -1;
  double least = std::numeric_limits<double>::infinity();
  for (int t = 0; t < trials.count; ++t) {
    double error = 0;
    for (const float v : x) {
      const float value = trials.scales[t] * nearest(v / trials.scales[t], trials.zeros[t], codes);
      const double difference = static_cast<double>(v) - static_cast<double>(value);
      error += difference * difference;
    }
    if (!(error < least)) continue;
    least = error;
    best = t;
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
      const int expected = by_definition(x.span(), trials, codes);
      const int found = kernel->search(x.data(), static_cast<std::int64_t>(x.span().size()), trials, codes);
      ASSERT_EQ(found, expected) << kernel->info.name << ", round " << round;
    }
  }
  if (const std::string names = testing::skipped_kernels(grid_search_kernels()); !names.empty())
    GTEST_SKIP() << "not run on this machine: " << names;
}

/// Scales as round-to-nearest tries them, on weights of many sizes, among them such as lie on a grid already (where the
/// best error is 0, or as small as rounding leaves it) and halfway between its values.
TEST(GridSearch, NeighbouringScalesAreToldApart) {
  constexpr GridFloats kE5m2{57344.0f, 0x1p-14f, 0x1p-2f};
  constexpr GridFloats kE2m1{6.0f, 1.0f, 0.5f};
  constexpr float kSixteen[] = {-1.0f,       -0.6961928f, -0.5250731f, -0.3949175f, -0.2844414f, -0.1847734f,
                                -0.0910500f, 0.0f,        0.0795803f,  0.1609302f,  0.2461123f,  0.3379152f,
                                0.4407098f,  0.5626170f,  0.7229568f,  1.0f};
  const GridCodes kCodes[] = {
      {0.0f, 15.0f},           {0.0f, 3.0f},       {0.0f, 255.0f},     {0.0f, 0.0f, kSixteen, 16},
      {0.0f, 0.0f, kTable, 6}, {.floats = &kE4m3}, {.floats = &kE5m2}, {.floats = &kE2m1}};
  testing::Numbers numbers(7);
  for (int round = 0; round < 1600; ++round) {
    const GridCodes& codes = kCodes[round % 8];
    const auto size = static_cast<std::size_t>(round % 13 == 12 ? 500 : 1 + round % 67);
    const float unit = std::ldexp(1.0f, round % 11 == 10 ? -80 : static_cast<int>(numbers.bits() % 20) - 12);
    testing::Guarded<float> x(numbers.values(size, -unit, unit));
    if (round % 3 == 2)  // on a grid, or halfway
      for (float& v : x.span()) v = std::nearbyint(v / unit * 16.0f) * unit / 16.0f;
    const float top = codes.floats != nullptr ? codes.floats->largest : codes.table != nullptr ? 1.0f : codes.high;
    testing::Guarded<float> scales(82), zeros(82);
    for (std::size_t t = 0; t < 82; ++t) {
      const float part = 1.05f - 0.01625f * static_cast<float>(t / 2);
      scales.span()[t] = part * unit / top * (codes.floats == nullptr && t % 2 == 1 && round % 2 == 0 ? -2.0f : 2.0f);
      zeros.span()[t] = std::floor(top / 2.0f) + (t % 2 == 1 && round % 2 == 1 ? 1.0f : 0.0f);
    }
    const bool integers = codes.floats == nullptr && codes.table == nullptr;
    const GridTrials trials{scales.data(), integers ? zeros.data() : nullptr, 82};
    const GridTrials with_zeros{scales.data(), zeros.data(), 82};
    const int expected = by_definition(x.span(), with_zeros, codes);
    for (const GridSearchKernel* kernel : grid_search_kernels())
      if (can_run(kernel->info, detected_cpu_features())) {
        ASSERT_EQ(kernel->search(x.data(), static_cast<std::int64_t>(size), trials, codes), expected)
            << kernel->info.name << ", round " << round;
      }
  }
}

TEST(GridSearch, InfiniteErrorsAreNoChoice) {
  const float x[] = {3e38f, -3e38f};
  const float scales[] = {3e38f, -3e38f};
  const float zeros[] = {8.0f, 8.0f};
  const GridCodes only_far{0.0f, 1.0f, nullptr, 0};
  for (const GridSearchKernel* kernel : grid_search_kernels()) {
    if (!can_run(kernel->info, detected_cpu_features())) continue;
    EXPECT_EQ(kernel->search(x, 2, {scales, zeros, 2}, only_far), -1) << kernel->info.name;
  }
}

}  // namespace
}  // namespace nibble::kernel
