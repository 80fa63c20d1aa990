// Every widening kernel by name: all halves, every length past a vector, odd addresses.
#include "kernel/widen/widen.h"

#include <gtest/gtest.h>

#include <numeric>

#include "base/half.h"
#include "kernel/testing/guarded.h"

namespace nibble::kernel {
namespace {

TEST(Widen, IsExactForEveryHalf) {
  std::vector<std::uint16_t> all(1 << 16);
  std::iota(all.begin(), all.end(), std::uint16_t{0});
  for (const WidenKernel* kernel : widen_kernels()) {
    if (!can_run(kernel->info, detected_cpu_features())) continue;
    std::vector<float> out(all.size());
    kernel->half(all.data(), static_cast<std::int64_t>(all.size()), out.data());
    for (std::size_t i = 0; i < all.size(); ++i) {
      const float expected = f16_to_f32(all[i]);
      if (std::isnan(expected))
        ASSERT_TRUE(std::isnan(out[i])) << kernel->info.name << ", half " << i;
      else
        ASSERT_EQ(std::bit_cast<std::uint32_t>(out[i]), std::bit_cast<std::uint32_t>(expected))
            << kernel->info.name << ", half " << i;
    }
  }
  if (const std::string names = testing::skipped_kernels(widen_kernels()); !names.empty())
    GTEST_SKIP() << "not run on this machine: " << names;
}

TEST(Widen, StaysWithinItsArrays) {
  for (const WidenKernel* kernel : widen_kernels()) {
    if (!can_run(kernel->info, detected_cpu_features())) continue;
    for (std::size_t n = 0; n < 50; ++n) {
      testing::Guarded<std::uint16_t> in(n);
      for (std::size_t i = 0; i < n; ++i) in.span()[i] = static_cast<std::uint16_t>(0x3C00 + 37 * i);
      testing::Guarded<float> out(n);
      kernel->half(in.data(), static_cast<std::int64_t>(n), out.data());
      for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(out.span()[i], f16_to_f32(in.span()[i])) << kernel->info.name;
    }
  }
}

TEST(Widen, RoundsToHalvesAsTheFormatDoes) {
  testing::Numbers numbers(3);
  std::vector<float> x;
  for (std::uint32_t half = 0; half < 1 << 16; ++half) {  // every half, and what lies around halfway to the next
    const auto bits = std::bit_cast<std::uint32_t>(f16_to_f32(static_cast<std::uint16_t>(half)));
    for (const std::uint32_t beyond : {0x0u, 0xFFFu, 0x1000u, 0x1001u})
      x.push_back(std::bit_cast<float>(bits + beyond));
  }
  for (int i = 0; i < 100000; ++i) x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(numbers.bits())));
  for (const WidenKernel* kernel : widen_kernels()) {
    if (!can_run(kernel->info, detected_cpu_features())) continue;
    std::vector<std::uint16_t> out(x.size());
    kernel->to_half(x.data(), static_cast<std::int64_t>(x.size()), out.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (std::isnan(x[i]))
        ASSERT_TRUE(std::isnan(f16_to_f32(out[i]))) << kernel->info.name << ", " << x[i];
      else
        ASSERT_EQ(out[i], f32_to_f16(x[i])) << kernel->info.name << ", " << x[i];
    }
    for (std::size_t n = 0; n < 50; ++n) {
      testing::Guarded<float> in(std::vector<float>(x.begin() + 100, x.begin() + 100 + static_cast<std::ptrdiff_t>(n)));
      testing::Guarded<std::uint16_t> few(n);
      kernel->to_half(in.data(), static_cast<std::int64_t>(n), few.data());
      for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(few.span()[i], f32_to_f16(in.span()[i])) << kernel->info.name;
    }
  }
}

}  // namespace
}  // namespace nibble::kernel
