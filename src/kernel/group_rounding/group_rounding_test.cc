// Every rounding kernel by name against the definition in scalar code: groups of every length, at guard pages.
#include "kernel/group_rounding/group_rounding.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "kernel/testing/guarded.h"

namespace nibble::kernel {
namespace {

/// Weights with zeros of both signs, large and subnormal ones among them.
std::vector<float> weights(std::size_t count, testing::Numbers& numbers) {
  constexpr float kFew[] = {0.0f, -0.0f, 1e-42f, -1e-42f, 3e38f, -3e38f, 0.5f, -0.5f};
  std::vector<float> x = numbers.values(count, -1.0f, 1.0f);
  for (float& v : x)
    if (numbers.bits() % 10 == 0) v = kFew[numbers.bits() % 8];
  return x;
}

/// Calls test(kernel, groups, size) for every kernel, and groups around and between full vectors.
template <typename Test>
void for_each_shape(const Test& test) {
  for (const GroupRoundingKernel* kernel : group_rounding_kernels()) {
    if (!can_run(kernel->info, detected_cpu_features())) continue;
    for (const std::size_t size : {1u, 3u, 4u, 7u, 8u, 15u, 16u, 17u, 32u, 45u, 64u, 100u})
      for (const std::size_t groups : {1u, 2u, 15u, 16u, 17u, 33u}) test(*kernel, groups, size);
  }
}

TEST(GroupRounding, RangesHoldZeroAndAllWeights) {
  testing::Numbers numbers(1);
  for_each_shape([&](const GroupRoundingKernel& kernel, std::size_t groups, std::size_t size) {
    testing::Guarded<float> x(weights(groups * size, numbers));
    testing::Guarded<float> low(groups), high(groups);
    kernel.ranges(x.data(), static_cast<std::int64_t>(groups), static_cast<std::int64_t>(size), low.data(),
                  high.data());
    std::vector<float> lows(groups), highs(groups);
    for (std::size_t i = 0; i < x.span().size(); ++i) {
      const float v = x.span()[i];
      if (v < lows[i / size]) lows[i / size] = v;
      if (v > highs[i / size]) highs[i / size] = v;
    }
    ASSERT_TRUE(testing::same_bits(low.span(), lows)) << kernel.info.name << ", " << groups << " x " << size;
    ASSERT_TRUE(testing::same_bits(high.span(), highs)) << kernel.info.name << ", " << groups << " x " << size;
  });
}

TEST(GroupRounding, IntegersAreTheNearest) {
  testing::Numbers numbers(2);
  for_each_shape([&](const GroupRoundingKernel& kernel, std::size_t groups, std::size_t size) {
    testing::Guarded<float> x(weights(groups * size, numbers));
    testing::Guarded<float> scales(groups), shifts(groups);
    for (std::size_t g = 0; g < groups; ++g) {
      scales.span()[g] = g % 5 == 4 ? -0.125f : g % 7 == 6 ? 1e-41f : numbers.uniform(0.01f, 0.3f);
      shifts.span()[g] = static_cast<float>(numbers.bits() % 16);
    }
    const float low = static_cast<float>(numbers.bits() % 2);
    testing::Guarded<std::uint8_t> codes(groups * size);
    kernel.integers({x.data(), static_cast<std::int64_t>(groups), static_cast<std::int64_t>(size), scales.data()},
                    shifts.data(), low, 15.0f, codes.data());
    for (std::size_t i = 0; i < x.span().size(); ++i) {
      const float q = std::nearbyint(std::clamp(x.span()[i] / scales.span()[i / size], -512.0f, 512.0f));
      const float expected = std::clamp(q + shifts.span()[i / size], low, 15.0f);
      ASSERT_EQ(static_cast<float>(codes.span()[i]), expected)
          << kernel.info.name << ", " << groups << " x " << size << ", " << x.span()[i];
    }
  });
}

TEST(GroupRounding, EntriesAreBetweenTheirBounds) {
  constexpr float kBounds[] = {-0.5f, 0.0f, 0.25f, 0.75f};
  constexpr std::uint8_t kInOrder[] = {0, 1, 2, 3, 4};
  constexpr std::uint8_t kOther[] = {9, 200, 3, 0, 7};
  testing::Numbers numbers(3);
  for_each_shape([&](const GroupRoundingKernel& kernel, std::size_t groups, std::size_t size) {
    testing::Guarded<float> x(weights(groups * size, numbers));
    testing::Guarded<float> scales(groups);
    for (std::size_t g = 0; g < groups; ++g) scales.span()[g] = g % 5 == 4 ? -0.5f : g % 7 == 6 ? 1e-41f : 1.0f;
    for (const std::uint8_t* order : {kInOrder, kOther}) {
      testing::Guarded<std::uint8_t> codes(groups * size);
      kernel.entries({x.data(), static_cast<std::int64_t>(groups), static_cast<std::int64_t>(size), scales.data()},
                     {kBounds, order, 5}, codes.data());
      for (std::size_t i = 0; i < x.span().size(); ++i) {
        const float scaled = x.span()[i] / scales.span()[i / size];
        const auto below = std::count_if(std::begin(kBounds), std::end(kBounds), [=](float b) { return b < scaled; });
        ASSERT_EQ(codes.span()[i], order[below])
            << kernel.info.name << ", " << groups << " x " << size << ", " << scaled;
      }
    }
  });
  if (const std::string names = testing::skipped_kernels(group_rounding_kernels()); !names.empty())
    GTEST_SKIP() << "not run on this machine: " << names;
}

}  // namespace
}  // namespace nibble::kernel
