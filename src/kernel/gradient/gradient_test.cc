// Every kernel's derivatives against the reference, and the reference against differences of the functions in double.
#include "kernel/gradient/gradient.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>

#include "kernel/testing/guarded.h"

namespace nibble::kernel {
namespace {

using testing::Guarded;
using testing::Numbers;

constexpr std::int64_t kSizes[] = {1, 2, 15, 16, 17, 63, 64, 65, 80, 127, 128, 200, 576};
constexpr Activation kActivations[] = {Activation::kSilu, Activation::kGeluTanh, Activation::kGeluErf,
                                       Activation::kRelu};

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

TEST(Gradient, KernelsHaveTheBitsOfTheReference) {
  Numbers numbers(1);
  const GradientKernel& reference = *gradient_kernels().front();
  for (const GradientKernel* kernel : gradient_kernels()) {
    if (!can_run(kernel->info, detected_cpu_features())) continue;
    SCOPED_TRACE(kernel->info.name);
    for (const std::int64_t n : kSizes) {
      SCOPED_TRACE(n);
      Guarded<float> a(numbers.values(size(n), -6.0f, 6.0f));
      Guarded<float> b(numbers.values(size(n), -2.0f, 2.0f));
      Guarded<float> d(numbers.values(size(n), -3.0f, 2.0f));
      const std::vector<float> sums = numbers.values(size(n), -1.0f, 1.0f);
      Guarded<float> got(sums.size());
      Guarded<float> got_too(sums);
      std::vector<float> expected(sums.size());
      std::vector<float> expected_too = sums;
      for (const Activation act : kActivations) {
        reference.gated(act, a.data(), b.data(), d.data(), n, expected.data(), expected_too.data());
        kernel->gated(act, a.data(), b.data(), d.data(), n, got.data(), got_too.data());
        ASSERT_TRUE(testing::same_bits(got.span(), expected)) << static_cast<int>(act);
        ASSERT_TRUE(testing::same_bits(got_too.span(), expected_too)) << static_cast<int>(act);
      }
      for (const bool plus_one : {false, true}) {
        reference.rms_norm(a.data(), n, b.data(), 1e-5f, plus_one, d.data(), expected.data(), expected_too.data());
        kernel->rms_norm(a.data(), n, b.data(), 1e-5f, plus_one, d.data(), got.data(), got_too.data());
        ASSERT_TRUE(testing::same_bits(got.span(), expected));
        ASSERT_TRUE(testing::same_bits(got_too.span(), expected_too));
        kernel->rms_norm(a.data(), n, b.data(), 1e-5f, plus_one, d.data(), got.data(), nullptr);
        ASSERT_TRUE(testing::same_bits(got.span(), expected));
      }
      reference.softmax(a.data(), d.data(), n, 0.3f, expected.data());
      kernel->softmax(a.data(), d.data(), n, 0.3f, got.data());
      ASSERT_TRUE(testing::same_bits(got.span(), expected));
      reference.softcap(a.data(), d.data(), n, 7.0f, expected.data());
      kernel->softcap(a.data(), d.data(), n, 7.0f, got.data());
      ASSERT_TRUE(testing::same_bits(got.span(), expected));
      std::copy(d.span().begin(), d.span().end(), got.data());
      kernel->softcap(a.data(), got.data(), n, 7.0f, got.data());
      ASSERT_TRUE(testing::same_bits(got.span(), expected)) << "in place";
    }
  }
  if (const std::string names = testing::skipped_kernels(gradient_kernels()); !names.empty())
    GTEST_SKIP() << "not run on this machine: " << names;
}

/// The central difference of a function in double; its own error is about 1e-10 of the function's size.
double difference(const std::function<double(double)>& f, double x) { return (f(x + 1e-5) - f(x - 1e-5)) / 2e-5; }

double exactly(Activation act, double x) {
  switch (act) {
    case Activation::kSilu:
      return x / (1.0 + std::exp(-x));
    case Activation::kGeluTanh:
      return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case Activation::kGeluErf:
      return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
    case Activation::kRelu:
      return std::max(0.0, x);
  }
  return 0;
}

/// A dozen roundings of numbers near 1: 1e-6.
TEST(Gradient, ActivationsHaveTheirSlopes) {
  const GradientKernel& kernel = gradient_kernel();
  for (const Activation act : kActivations) {
    for (float x = -9.03f; x < 9.0f; x += 0.17f) {
      const float up = 1.5f;
      const float d_out = -0.75f;
      float d_gate = 0;
      float d_up = 0;
      kernel.gated(act, &x, &up, &d_out, 1, &d_gate, &d_up);
      const double slope = difference([act](double at) { return exactly(act, at); }, static_cast<double>(x));
      EXPECT_NEAR(d_gate, -0.75 * 1.5 * slope, 2e-6) << static_cast<int>(act) << " at " << x;
      EXPECT_NEAR(d_up, -0.75 * exactly(act, static_cast<double>(x)), 2e-6 * (1 + std::fabs(x))) << x;
    }
  }
}

/// Gradients by x and by w of sum of d_out * rms_norm(x, w), by differences in double.
TEST(Gradient, RmsNormIsTheDerivative) {
  Numbers numbers(2);
  for (const bool plus_one : {false, true}) {
    const std::int64_t n = 21;
    std::vector<float> x = numbers.values(size(n), -1.0f, 1.0f);
    std::vector<float> w = numbers.values(size(n), -2.0f, 2.0f);
    const std::vector<float> d_out = numbers.values(size(n), -1.0f, 1.0f);
    const float eps = 0.05f;
    const auto loss = [&](const std::vector<double>& at, const std::vector<double>& weight) {
      double squares = 0;
      for (const double v : at) squares += v * v;
      const double r = 1.0 / std::sqrt(squares / static_cast<double>(n) + static_cast<double>(eps));
      double sum = 0;
      for (std::size_t i = 0; i < at.size(); ++i)
        sum += static_cast<double>(d_out[i]) * at[i] * r * (plus_one ? 1.0 + weight[i] : weight[i]);
      return sum;
    };
    std::vector<float> d_x(x.size());
    std::vector<float> d_w(x.size(), 10.0f);
    gradient_kernel().rms_norm(x.data(), n, w.data(), eps, plus_one, d_out.data(), d_x.data(), d_w.data());
    const std::vector<double> exact_x(x.begin(), x.end());
    const std::vector<double> exact_w(w.begin(), w.end());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto moved = [i](std::vector<double> at, double to) {
        at[i] = to;
        return at;
      };
      EXPECT_NEAR(d_x[i], difference([&](double to) { return loss(moved(exact_x, to), exact_w); }, exact_x[i]), 1e-5);
      EXPECT_NEAR(d_w[i] - 10.0f, difference([&](double to) { return loss(exact_x, moved(exact_w, to)); }, exact_w[i]),
                  1e-5);
    }
  }
}

TEST(Gradient, SoftmaxAndSoftcapAreTheDerivatives) {
  Numbers numbers(3);
  const std::int64_t n = 19;
  const std::vector<float> x = numbers.values(size(n), -3.0f, 3.0f);
  const std::vector<float> d_out = numbers.values(size(n), -1.0f, 1.0f);
  const double scale = 0.625;
  const double cap = 2.5;
  const auto probabilities = [&](const std::vector<double>& at) {
    std::vector<double> p;
    double sum = 0;
    for (const double v : at) sum += std::exp(scale * v);
    for (const double v : at) p.push_back(std::exp(scale * v) / sum);
    return p;
  };
  const std::vector<double> exact(x.begin(), x.end());
  std::vector<float> p;
  for (const double v : probabilities(exact)) p.push_back(static_cast<float>(v));
  std::vector<float> d_x(x.size());
  gradient_kernel().softmax(p.data(), d_out.data(), n, static_cast<float>(scale), d_x.data());
  std::vector<float> y;
  for (const double v : exact) y.push_back(static_cast<float>(cap * std::tanh(v / cap)));
  std::vector<float> d_capped(x.size());
  gradient_kernel().softcap(y.data(), d_out.data(), n, static_cast<float>(cap), d_capped.data());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto loss = [&](double to) {
      std::vector<double> at = exact;
      at[i] = to;
      const std::vector<double> q = probabilities(at);
      double sum = 0;
      for (std::size_t j = 0; j < q.size(); ++j) sum += static_cast<double>(d_out[j]) * q[j];
      return sum;
    };
    EXPECT_NEAR(d_x[i], difference(loss, exact[i]), 1e-6);
    const double slope = difference([cap](double to) { return cap * std::tanh(to / cap); }, exact[i]);
    EXPECT_NEAR(d_capped[i], static_cast<double>(d_out[i]) * slope, 1e-6);
  }
}

}  // namespace
}  // namespace nibble::kernel
