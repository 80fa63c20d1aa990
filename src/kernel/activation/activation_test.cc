// Every activation kernel by name against the reference, and the reference against double over the whole float range.
#include "kernel/activation/activation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "kernel/softmax/exp.h"
#include "kernel/testing/guarded.h"

namespace nibble::kernel {
namespace {

using testing::Guarded;
using testing::Numbers;

constexpr Activation kAll[] = {Activation::kSilu, Activation::kGeluTanh, Activation::kGeluErf, Activation::kRelu};

/// Values of every size and sign, the edges of the pieces of the functions, infinities and NaN.
std::vector<float> adversarial() {
  std::vector<float> v = {0.0f,   -0.0f, 0.6f,   -0.6f,   0.59999996f, 87.0f,   -87.0f,  -87.00001f,
                          -88.8f, 14.0f, -14.0f, -13.19f, 1e-40f,      1e30f,   -1e30f,  1e38f,
                          -3e38f, 0.5f,  -1e-8f, 43.5f,   -43.49f,     -43.51f, 103.97f, -104.0f};
  v.push_back(std::numeric_limits<float>::infinity());
  v.push_back(-std::numeric_limits<float>::infinity());
  v.push_back(std::numeric_limits<float>::quiet_NaN());
  Numbers numbers(1);
  for (int i = 0; i < 3000; ++i) v.push_back(numbers.uniform(-12.0f, 12.0f));
  for (int i = 0; i < 3000; ++i) v.push_back(numbers.uniform(-100.0f, 100.0f));
  for (int i = 0; i < 500; ++i) v.push_back(std::ldexp(numbers.uniform(-2.0f, 2.0f), -i % 120));
  return v;
}

TEST(Activation, KernelsHaveTheBitsOfTheReference) {
  const std::vector<float> all = adversarial();
  const ActivationKernel& reference = *activation_kernels().front();
  for (const ActivationKernel* kernel : activation_kernels()) {
    if (!can_run(kernel->info, detected_cpu_features())) continue;
    SCOPED_TRACE(kernel->info.name);
    for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{8}, std::size_t{15},
                                std::size_t{16}, std::size_t{17}, std::size_t{33}, all.size()}) {
      const std::vector<float> part(all.end() - static_cast<std::ptrdiff_t>(n), all.end());
      Guarded<float> x(part);
      Guarded<float> up(Numbers(n).values(n, -3.0f, 3.0f));
      Guarded<float> got(n);
      std::vector<float> expected(n);
      const auto count = static_cast<std::int64_t>(n);
      for (const Activation act : kAll) {
        for (const float* other : {static_cast<const float*>(up.data()), static_cast<const float*>(nullptr)}) {
          reference.gated(act, x.data(), other, count, expected.data());
          kernel->gated(act, x.data(), other, count, got.data());
          ASSERT_TRUE(testing::same_bits(got.span(), expected)) << static_cast<int>(act) << " n " << n;
        }
      }
      expected = part;
      Guarded<float> changed(part);
      reference.softcap(expected.data(), 30.0f, count);
      kernel->softcap(changed.data(), 30.0f, count);
      ASSERT_TRUE(testing::same_bits(changed.span(), expected));
      reference.add_scaled(expected.data(), up.data(), 0.7f, count);
      kernel->add_scaled(changed.data(), up.data(), 0.7f, count);
      ASSERT_TRUE(testing::same_bits(changed.span(), expected));
      reference.scale(expected.data(), -1.3f, count);
      kernel->scale(changed.data(), -1.3f, count);
      ASSERT_TRUE(testing::same_bits(changed.span(), expected));
    }
  }
  if (const std::string names = testing::skipped_kernels(activation_kernels()); !names.empty())
    GTEST_SKIP() << "not run on this machine: " << names;
}

double relative_error(double got, double exact) { return exact == 0 ? std::fabs(got) : std::fabs(got / exact - 1); }

constexpr double kUlp = 0x1p-23;  // of a value just above a power of two: one ulp is at most this, relative

TEST(Exp, IsWithinOneUlp) {
  double worst = 0;
  for (std::uint32_t i = 0; i < 300000; ++i) {
    const float x = -87.0f * static_cast<float>(i) / 300000.0f;
    worst = std::max(worst, relative_error(reference::exp_nonpositive(x), std::exp(static_cast<double>(x))));
  }
  EXPECT_LT(worst, kUlp);
  EXPECT_EQ(reference::exp_nonpositive(0.0f), 1.0f);
  EXPECT_EQ(reference::exp_nonpositive(-std::numeric_limits<float>::infinity()), 0.0f);
  EXPECT_EQ(reference::exp_nonpositive(-87.00001f), 0.0f);
  EXPECT_TRUE(std::isnan(reference::exp_nonpositive(std::numeric_limits<float>::quiet_NaN())));
}

TEST(Exp, TanhIsWithinTwoUlp) {
  for (int i = -100000; i <= 100000; ++i) {
    const float x = static_cast<float>(i) * 0x1p-13f;
    ASSERT_LT(relative_error(reference::tanh(x), std::tanh(static_cast<double>(x))), 2 * kUlp) << x;
  }
  EXPECT_EQ(reference::tanh(200.0f), 1.0f);
  EXPECT_EQ(reference::tanh(-200.0f), -1.0f);
}

TEST(Activation, IsWithinItsBoundOfDouble) {
  const ActivationKernel& kernel = *activation_kernels().front();
  for (int i = -75000; i <= 75000; ++i) {
    const float x = static_cast<float>(i) * 0x1p-10f;  // to +-73
    const double d = x;
    float silu = 0;
    float gelu_tanh = 0;
    float gelu_erf = 0;
    kernel.gated(Activation::kSilu, &x, nullptr, 1, &silu);
    kernel.gated(Activation::kGeluTanh, &x, nullptr, 1, &gelu_tanh);
    kernel.gated(Activation::kGeluErf, &x, nullptr, 1, &gelu_erf);
    // exp 1, sum, quotient and product half an ulp each
    ASSERT_LT(relative_error(silu, d / (1 + std::exp(-d))), 3 * kUlp) << x;
    // u = 2 sqrt(2/pi) (x + 0.044715 x^3) carries four roundings and two rounded constants: |u| * 3 ulp in e^-|u|
    const double u = std::sqrt(8 / std::numbers::pi) * (d + 0.044715 * d * d * d);
    if (std::fabs(u) < 86)
      ASSERT_LT(relative_error(gelu_tanh, d / (1 + std::exp(-u))), (3 + 3 * std::fabs(u)) * kUlp) << x;
    else
      ASSERT_NEAR(gelu_tanh, d < 0 ? 0 : d, 1e-35);
    if (d > -13)
      ASSERT_LT(relative_error(gelu_erf, d * 0.5 * std::erfc(-d * std::sqrt(0.5))), 5 * kUlp) << x;
    else
      ASSERT_NEAR(gelu_erf, 0, 1e-35);
  }
}

TEST(Activation, ThreadsAndLeadingDimensions) {
  Numbers numbers(5);
  const std::int64_t tokens = 3;
  const std::int64_t n = 9001;  // more than two pieces
  const std::vector<float> gate = numbers.values(static_cast<std::size_t>(tokens * (n + 5)), -4.0f, 4.0f);
  const std::vector<float> up = numbers.values(static_cast<std::size_t>(tokens * (n + 2)), -4.0f, 4.0f);
  std::vector<float> expected(static_cast<std::size_t>(tokens * (n + 1)), 9.0f);
  for (std::int64_t t = 0; t < tokens; ++t)
    activation_kernels().front()->gated(Activation::kSilu, gate.data() + t * (n + 5), up.data() + t * (n + 2), n,
                                        expected.data() + t * (n + 1));
  for (int threads : {1, 4}) {
    ThreadPool pool(threads);
    std::vector<float> out(expected.size(), 9.0f);
    gated_activation(Activation::kSilu, gate.data(), up.data(), tokens, n, n + 5, n + 2, out.data(), n + 1, pool);
    ASSERT_TRUE(testing::same_bits(out, expected));
    std::vector<float> sum(gate.size());
    add(gate.data(), up.data(), static_cast<std::int64_t>(up.size()), sum.data(), pool);
    scale(sum.data(), 2.0f, static_cast<std::int64_t>(sum.size()), pool);
    for (std::size_t i = 0; i < up.size(); ++i) ASSERT_EQ(sum[i], (gate[i] + up[i]) * 2.0f);
  }
}

}  // namespace
}  // namespace nibble::kernel
