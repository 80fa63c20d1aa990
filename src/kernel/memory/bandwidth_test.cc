// The measuring kernels do the work they claim: every byte is read, rates are plausible. Not a benchmark.
#include "kernel/memory/bandwidth.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "kernel/testing/guarded.h"

namespace nibble::kernel {
namespace {

TEST(Memory, EveryByteEntersTheResult) {
  constexpr std::size_t kBytes = 4096;
  for (const MemoryKernel* kernel : memory_kernels()) {
    if (!can_run(kernel->info, detected_cpu_features())) continue;
    testing::Guarded<std::byte> data(kBytes);  // ends at a page, so it is aligned
    std::fill_n(data.data(), kBytes, std::byte{0});
    EXPECT_EQ(kernel->read(data.data(), kBytes), 0u) << kernel->info.name;
    for (std::size_t i = 0; i < kBytes; ++i) {
      data.data()[i] = std::byte{1};
      ASSERT_EQ(kernel->read(data.data(), kBytes), std::uint64_t{1} << (8 * (i % 8))) << kernel->info.name << i;
      data.data()[i] = std::byte{0};
    }
    EXPECT_GT(kernel->fma(1000), 0);
    EXPECT_GT(kernel->int8_dot(1000), 0);
  }
  if (const std::string names = testing::skipped_kernels(memory_kernels()); !names.empty())
    GTEST_SKIP() << "not run on this machine: " << names;
}

/// Bounds no machine is outside of: 10 MB/s to 100 TB/s, 10 MFLOP/s to 10 PFLOP/s.
TEST(Memory, RatesArePlausible) {
  ThreadPool pool(2);
  const double bandwidth = measure_read_bandwidth(pool, std::size_t{64} << 20, 2);
  EXPECT_GT(bandwidth, 0.01);
  EXPECT_LT(bandwidth, 1e5);
  const double fma = measure_fma_peak(pool);
  EXPECT_GT(fma, 0.01);
  EXPECT_LT(fma, 1e7);
  const double dot = measure_int8_dot_peak(pool);
  EXPECT_GT(dot, 0.01);
  EXPECT_LT(dot, 1e7);
}

}  // namespace
}  // namespace nibble::kernel
