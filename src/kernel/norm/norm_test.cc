// Every normalization kernel by name against the reference, and the reference against double.
#include "kernel/norm/norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernel/testing/guarded.h"

namespace nibble::kernel {
namespace {

using testing::Guarded;
using testing::Numbers;

constexpr std::int64_t kSizes[] = {1, 2, 15, 16, 17, 31, 63, 64, 65, 79, 80, 81, 127, 128, 200, 576, 1000, 4096};

TEST(Norm, KernelsHaveTheBitsOfTheReference) {
  Numbers numbers(1);
  const NormKernel& reference = *norm_kernels().front();
  for (const NormKernel* kernel : norm_kernels()) {
    if (!can_run(kernel->info, detected_cpu_features())) continue;
    SCOPED_TRACE(kernel->info.name);
    for (const std::int64_t n : kSizes) {
      SCOPED_TRACE(n);
      const auto count = static_cast<std::size_t>(n);
      Guarded<float> x(numbers.values(count, -30.0f, 40.0f));
      Guarded<float> w(numbers.values(count, -2.0f, 2.0f));
      Guarded<float> b(numbers.values(count, -2.0f, 2.0f));
      std::vector<float> expected(count);
      Guarded<float> got(count);
      for (const bool plus_one : {false, true}) {
        for (const float* weight : {static_cast<const float*>(w.data()), static_cast<const float*>(nullptr)}) {
          reference.rms_norm(x.data(), n, weight, 1e-5f, plus_one, expected.data());
          kernel->rms_norm(x.data(), n, weight, 1e-5f, plus_one, got.data());
          ASSERT_TRUE(testing::same_bits(got.span(), expected));
        }
      }
      for (const float* bias : {static_cast<const float*>(b.data()), static_cast<const float*>(nullptr)}) {
        reference.layer_norm(x.data(), n, w.data(), bias, 1e-5f, expected.data());
        kernel->layer_norm(x.data(), n, w.data(), bias, 1e-5f, got.data());
        ASSERT_TRUE(testing::same_bits(got.span(), expected));
      }
      x.data()[n - 1] = std::numeric_limits<float>::quiet_NaN();
      kernel->rms_norm(x.data(), n, w.data(), 1e-5f, false, got.data());
      for (const float y : got.span()) ASSERT_TRUE(std::isnan(y));
    }
  }
  if (const std::string names = testing::skipped_kernels(norm_kernels()); !names.empty())
    GTEST_SKIP() << "not run on this machine: " << names;
}

/// A sum of squares in 64 lanes has at most n/64 + 6 roundings on a path, all terms are positive: its relative error is
/// below (n/64 + 7) 2^-24, the root halves it; the division, root, reciprocal and two products round once each.
TEST(Norm, RmsIsWithinItsRoundingBound) {
  Numbers numbers(2);
  ThreadPool pool(3);
  for (const std::int64_t n : kSizes) {
    const std::int64_t tokens = 5;
    const std::int64_t ld = n + 3;
    const std::vector<float> x = numbers.values(static_cast<std::size_t>(tokens * ld), -3.0f, 3.0f);
    const std::vector<float> w = numbers.values(static_cast<std::size_t>(n), -2.0f, 2.0f);
    std::vector<float> out(static_cast<std::size_t>(tokens * ld), 7.0f);
    rms_norm(x.data(), tokens, n, ld, w.data(), 1e-6f, false, out.data(), ld, pool);
    const double bound = (0.5 * (static_cast<double>(n) / 64 + 7) + 7) * 0x1p-24;
    for (std::int64_t t = 0; t < tokens; ++t) {
      const float* row = x.data() + t * ld;
      double squares = 0;
      for (std::int64_t i = 0; i < n; ++i) squares += static_cast<double>(row[i]) * row[i];
      const double r = 1.0 / std::sqrt(squares / static_cast<double>(n) + 1e-6f);
      for (std::int64_t i = 0; i < n; ++i) {
        const double exact = row[i] * r * w[static_cast<std::size_t>(i)];
        ASSERT_NEAR(out[static_cast<std::size_t>(t * ld + i)], exact, bound * std::fabs(exact)) << n;
      }
      for (std::int64_t i = n; i < ld; ++i) ASSERT_EQ(out[static_cast<std::size_t>(t * ld + i)], 7.0f);
    }
  }
}

TEST(Norm, LayerNormIsNearDouble) {
  Numbers numbers(3);
  ThreadPool pool(2);
  const std::int64_t n = 777;
  const std::vector<float> x = numbers.values(static_cast<std::size_t>(n), 1.0f, 3.0f);
  std::vector<float> out(static_cast<std::size_t>(n));
  layer_norm(x.data(), 1, n, n, nullptr, nullptr, 1e-5f, out.data(), n, pool);
  double mean = 0;
  for (const float v : x) mean += v / static_cast<double>(n);
  double variance = 0;
  for (const float v : x) variance += (v - mean) * (v - mean) / static_cast<double>(n);
  // The mean's error, (n/64 + 8) 2^-24 * 3, is divided by the deviation; the rest is as for rms.
  const double bound = ((777.0 / 64 + 8) * 3 / std::sqrt(variance) + 2 * 20) * 0x1p-24;
  for (std::size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(out[i], (x[i] - mean) / std::sqrt(variance + 1e-5f), bound);
}

TEST(Norm, ThreadsAndPlaceDoNotMatter) {
  Numbers numbers(4);
  const std::int64_t tokens = 33;
  const std::int64_t n = 300;
  const std::vector<float> x = numbers.values(static_cast<std::size_t>(tokens * n), -1.0f, 1.0f);
  const std::vector<float> w = numbers.values(static_cast<std::size_t>(n), -1.0f, 1.0f);
  std::vector<float> alone(x.size());
  ThreadPool one(1);
  for (std::int64_t t = 0; t < tokens; ++t)
    rms_norm(x.data() + t * n, 1, n, n, w.data(), 1e-5f, true, alone.data() + t * n, n, one);
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    std::vector<float> in_place = x;
    rms_norm(in_place.data(), tokens, n, n, w.data(), 1e-5f, true, in_place.data(), n, pool);
    ASSERT_TRUE(testing::same_bits(in_place, alone)) << threads;
  }
}

}  // namespace
}  // namespace nibble::kernel
