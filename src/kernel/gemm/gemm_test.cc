// Every kernel's tiles against the reference, and whole products of every orientation against the stated order of sums.
#include "kernel/gemm/gemm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernel/testing/guarded.h"

namespace nibble::kernel {
namespace {

using testing::Guarded;
using testing::Numbers;

/// One output by the contract.
float chain_of_runs(const GemmArgs& g, std::int64_t i, std::int64_t j, float before) {
  float out = before;
  for (std::int64_t first = 0; first < g.k; first += kGemmRun) {
    float sum = 0;
    for (std::int64_t p = first; p < std::min(g.k, first + kGemmRun); ++p)
      sum = std::fma(g.a.data[i * g.a.row_stride + p * g.a.col_stride],
                     g.b.data[p * g.b.row_stride + j * g.b.col_stride], sum);
    out = first == 0 && !g.add ? sum : out + sum;
  }
  return g.k == 0 && !g.add ? 0.0f : out;
}

struct Shape {
  std::int64_t m, n, k;
};

/// Around tiles, blocks of rows, runs, and what is copied at once.
const Shape kShapes[] = {{1, 1, 1},    {3, 5, 0},    {4, 16, 7},    {6, 16, 256},  {7, 17, 257},  {14, 32, 64},
                         {15, 33, 65}, {13, 31, 63}, {113, 40, 30}, {230, 70, 20}, {29, 64, 600}, {2, 8200, 300}};

TEST(Gemm, KernelsFollowTheOrderOfTheContract) {
  Numbers numbers(1);
  ThreadPool pool(2);
  for (const GemmKernel* kernel : gemm_kernels()) {
    if (!can_run(kernel->info, detected_cpu_features())) continue;
    ASSERT_LE(kernel->rows * kernel->cols, kGemmMaxTile);
    for (const auto& [m, n, k] : kShapes) {
      for (int orientation = 0; orientation < 8; ++orientation) {
        const bool a_turned = (orientation & 1) != 0;
        const bool b_turned = (orientation & 2) != 0;
        const std::int64_t ld_a = (a_turned ? m : k) + 3;
        const std::int64_t ld_b = (b_turned ? k : n) + 1;
        const std::int64_t ldc = n + 2;
        Guarded<float> a(numbers.values(static_cast<std::size_t>((a_turned ? k : m) * ld_a), -2.0f, 3.0f));
        Guarded<float> b(numbers.values(static_cast<std::size_t>((b_turned ? n : k) * ld_b), -3.0f, 2.0f));
        const std::vector<float> before = numbers.values(static_cast<std::size_t>(m * ldc), -9.0f, 9.0f);
        Guarded<float> c(before);
        GemmArgs args{a_turned ? GemmInput::transposed(a.data(), ld_a) : GemmInput::rows(a.data(), ld_a),
                      b_turned ? GemmInput::transposed(b.data(), ld_b) : GemmInput::rows(b.data(), ld_b),
                      m,
                      n,
                      k,
                      c.data(),
                      ldc,
                      (orientation & 4) != 0};
        gemm_with(*kernel, args, pool);
        for (std::int64_t i = 0; i < m; ++i)
          for (std::int64_t j = 0; j < ldc; ++j) {
            const float old = before[static_cast<std::size_t>(i * ldc + j)];
            const float expected = j < n ? chain_of_runs(args, i, j, old) : old;
            ASSERT_TRUE(testing::same(c.data()[i * ldc + j], expected))
                << kernel->info.name << " " << m << "x" << n << "x" << k << " orientation " << orientation << " at "
                << i << ", " << j;
          }
      }
    }
  }
  if (const std::string names = testing::skipped_kernels(gemm_kernels()); !names.empty())
    GTEST_SKIP() << "not run on this machine: " << names;
}

TEST(Gemm, ThreadsAndTheCallingThreadAloneGiveTheSameBits) {
  Numbers numbers(2);
  const std::int64_t m = 300;
  const std::int64_t n = 100;
  const std::int64_t k = 700;
  const std::vector<float> a = numbers.values(static_cast<std::size_t>(m * k), -1.0f, 1.0f);
  const std::vector<float> b = numbers.values(static_cast<std::size_t>(k * n), -1.0f, 1.0f);
  std::vector<float> alone(static_cast<std::size_t>(m * n));
  GemmArgs args{GemmInput::rows(a.data(), k), GemmInput::rows(b.data(), n), m, n, k, alone.data(), n};
  gemm_alone(args);
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    std::vector<float> got(alone.size());
    args.c = got.data();
    gemm(args, pool);
    EXPECT_TRUE(testing::same_bits(got, alone)) << threads;
  }
}

TEST(Gemm, NaNStaysInItsRowAndColumn) {
  ThreadPool pool(1);
  const std::int64_t n = 20;
  std::vector<float> a(static_cast<std::size_t>(n * n), 1.0f);
  std::vector<float> b = a;
  a[static_cast<std::size_t>(3 * n + 5)] = std::numeric_limits<float>::quiet_NaN();
  b[static_cast<std::size_t>(7 * n + 11)] = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> c(a.size());
  gemm({GemmInput::rows(a.data(), n), GemmInput::rows(b.data(), n), n, n, n, c.data(), n}, pool);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      EXPECT_EQ(std::isnan(c[static_cast<std::size_t>(i * n + j)]), i == 3 || j == 11) << i << ", " << j;
}

}  // namespace
}  // namespace nibble::kernel
