// Every softmax kernel by name against the reference, and the reference against double.
#include "kernel/softmax/softmax.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "kernel/testing/guarded.h"

namespace nibble::kernel {
namespace {

using testing::Guarded;
using testing::Numbers;

TEST(Softmax, KernelsHaveTheBitsOfTheReferenceAndAreNearDouble) {
  Numbers numbers(1);
  for (const SoftmaxKernel* kernel : softmax_kernels()) {
    if (!can_run(kernel->info, detected_cpu_features())) continue;
    SCOPED_TRACE(kernel->info.name);
    for (const std::size_t n : {1u, 2u, 15u, 16u, 17u, 63u, 64u, 65u, 100u, 129u, 5000u}) {
      Guarded<float> x(numbers.values(n, -60.0f, 60.0f));
      Guarded<float> got(n);
      std::vector<float> expected(n);
      const auto count = static_cast<std::int64_t>(n);
      softmax_kernels().front()->row(x.data(), count, expected.data());
      kernel->row(x.data(), count, got.data());
      ASSERT_TRUE(testing::same_bits(got.span(), expected)) << n;
      const double top = *std::max_element(x.data(), x.data() + n);
      double sum = 0;
      for (const float v : x.span()) sum += std::exp(v - top);
      // x - top rounds once: |x - top| 2^-24 in e; exp 1 ulp, the quotient half, the sum n/64 + 6 roundings of 2^-24
      for (std::size_t i = 0; i < n; ++i) {
        const double exact = std::exp(x.data()[i] - top) / sum;
        const double bound = (std::fabs(x.data()[i] - top) + 2 * 2.5 + static_cast<double>(n) / 64 + 7) * 0x1p-24;
        if (x.data()[i] - top > -86)
          ASSERT_NEAR(expected[i], exact, exact * bound) << n;
        else
          ASSERT_LT(expected[i], 1e-37f);
      }
      x.data()[n / 2] = std::numeric_limits<float>::quiet_NaN();
      kernel->row(x.data(), count, got.data());
      for (const float v : got.span()) ASSERT_TRUE(std::isnan(v));
    }
  }
  if (const std::string names = testing::skipped_kernels(softmax_kernels()); !names.empty())
    GTEST_SKIP() << "not run on this machine: " << names;
}

TEST(Softmax, MaximaAreThoseOfTheReferenceAndOnlyOfNumbers) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  Numbers numbers(3);
  for (const SoftmaxKernel* kernel : softmax_kernels()) {
    if (!can_run(kernel->info, detected_cpu_features())) continue;
    SCOPED_TRACE(kernel->info.name);
    for (const std::size_t n : {1u, 15u, 16u, 17u, 63u, 64u, 65u, 127u, 129u, 5000u}) {
      const auto count = static_cast<std::int64_t>(n);
      Guarded<float> x(numbers.values(n, -60.0f, 60.0f));
      Guarded<float> got((n + 63) / 64);
      for (int round = 0; round < 2; ++round) {
        ASSERT_TRUE(kernel->maxima(x.data(), count, got.data())) << n;
        for (std::size_t b = 0; b * 64 < n; ++b)
          ASSERT_EQ(got.data()[b], *std::max_element(x.data() + b * 64, x.data() + std::min(b * 64 + 64, n))) << n;
        std::fill_n(x.data() + n / 2, n - n / 2, -kInfinity);
      }
      for (const std::size_t at : {std::size_t{0}, n / 2, n - 1})
        for (const float value : {kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
          const float before = std::exchange(x.data()[at], value);
          ASSERT_FALSE(kernel->maxima(x.data(), count, got.data())) << n << " " << at;
          x.data()[at] = before;
        }
    }
  }
}

TEST(Softmax, RowsAreIndependentOfThreads) {
  Numbers numbers(2);
  const std::vector<float> x = numbers.values(50 * 70, -5.0f, 5.0f);
  std::vector<float> expected(50 * 64);
  for (std::size_t t = 0; t < 50; ++t) softmax_kernels().front()->row(x.data() + t * 70, 64, expected.data() + t * 64);
  for (int threads : {1, 3}) {
    ThreadPool pool(threads);
    std::vector<float> out(50 * 64);
    softmax(x.data(), 50, 64, 70, out.data(), 64, pool);
    ASSERT_TRUE(testing::same_bits(out, expected));
  }
}

}  // namespace
}  // namespace nibble::kernel
