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

}  // namespace
}  // namespace nibble::kernel
