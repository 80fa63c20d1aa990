// Every kernel against the reference; the factor multiplied out; matrices that have none.
#include "kernel/cholesky/cholesky.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernel/testing/guarded.h"

namespace nibble::kernel {
namespace {

using testing::Guarded;
using testing::Numbers;

std::vector<double> doubles(Numbers& numbers, std::int64_t count) {
  const std::vector<float> values = numbers.values(static_cast<std::size_t>(count), -1.0f, 1.0f);
  return {values.begin(), values.end()};
}

TEST(Cholesky, KernelsHaveTheBitsOfTheReference) {
  Numbers numbers(1);
  const CholeskyKernel& reference = *cholesky_kernels().front();
  for (const std::int64_t count : {1, 3, 7, 8, 16, 17, 31, 32, 33, 100}) {
    const std::int64_t ld = count + 5;
    Guarded<double> l(doubles(numbers, 4 * kCholeskyBlock));
    Guarded<double> p(doubles(numbers, kCholeskyBlock * count));
    const std::vector<double> c = doubles(numbers, 4 * ld);
    for (int rows = 1; rows <= 4; ++rows) {
      std::vector<double> expected = c;
      reference.eliminate(l.data(), kCholeskyBlock, rows, p.data(), count, count, expected.data(), ld);
      for (const CholeskyKernel* kernel : cholesky_kernels()) {
        if (!can_run(kernel->info, detected_cpu_features())) continue;
        std::vector<double> got = c;
        kernel->eliminate(l.data(), kCholeskyBlock, rows, p.data(), count, count, got.data(), ld);
        ASSERT_EQ(got, expected) << kernel->info.name << ", " << count << " columns, " << rows << " rows";
      }
    }
  }
  if (const std::string names = testing::skipped_kernels(cholesky_kernels()); !names.empty())
    GTEST_SKIP() << "not run on this machine: " << names;
}

/// A = B B^T + 1 for a random B [n, n].
std::vector<double> positive_definite(Numbers& numbers, std::int64_t n) {
  const std::vector<double> b = doubles(numbers, n * n);
  std::vector<double> a(static_cast<std::size_t>(n * n));
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      double sum = i == j ? 1 : 0;
      for (std::int64_t k = 0; k < n; ++k)
        sum += b[static_cast<std::size_t>(i * n + k)] * b[static_cast<std::size_t>(j * n + k)];
      a[static_cast<std::size_t>(i * n + j)] = sum;
    }
  return a;
}

TEST(Cholesky, TheFactorGivesTheMatrix) {
  Numbers numbers(2);
  for (const std::int64_t n : {1, 2, 5, 63, 64, 65, 130, 200}) {
    const std::vector<double> a = positive_definite(numbers, n);
    std::vector<double> with_nothing_above = a;
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = i + 1; j < n; ++j)
        with_nothing_above[static_cast<std::size_t>(i * n + j)] = std::numeric_limits<double>::quiet_NaN();
    std::vector<std::vector<double>> factors;
    for (const int threads : {1, 3}) {
      ThreadPool pool(threads);
      factors.push_back(with_nothing_above);
      ASSERT_TRUE(cholesky(factors.back().data(), n, pool)) << n;
    }
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j <= i; ++j) {
        const auto at = [&](std::int64_t r, std::int64_t c) { return factors[0][static_cast<std::size_t>(r * n + c)]; };
        ASSERT_EQ(at(i, j), factors[1][static_cast<std::size_t>(i * n + j)]) << "threads change bits";
        double sum = 0;
        for (std::int64_t k = 0; k <= j; ++k) sum += at(i, k) * at(j, k);
        // Backward stable: within a few n roundings of the diagonal's size.
        ASSERT_NEAR(sum, a[static_cast<std::size_t>(i * n + j)], 4.0 * static_cast<double>(n * n) * 0x1p-52) << n;
      }
    }
  }
}

TEST(Cholesky, SaysWhenThereIsNone) {
  Numbers numbers(3);
  ThreadPool pool(2);
  for (const std::int64_t n : {1, 70}) {
    for (const double spoiled :
         {-1.0, 0.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
      for (const std::int64_t at : {std::int64_t{0}, n - 1}) {
        std::vector<double> a = positive_definite(numbers, n);
        a[static_cast<std::size_t>(at * n + at)] = spoiled;
        EXPECT_FALSE(cholesky(a.data(), n, pool)) << n << ", " << spoiled << " at " << at;
      }
    }
  }
}

}  // namespace
}  // namespace nibble::kernel
