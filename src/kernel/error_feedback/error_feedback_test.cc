// Every kernel against the reference; what each loop promises, recomputed in float64.
#include "kernel/error_feedback/error_feedback.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernel/testing/guarded.h"

namespace nibble::kernel {
namespace {

using testing::Guarded;
using testing::Numbers;
using testing::same_bits;

constexpr int kL = kFeedbackLanes;

/// Sixteen rows of `cols` weights with a positive definite h [cols, cols].
struct Problem {
  explicit Problem(std::int64_t size, std::uint64_t seed) : cols(size), numbers(seed) {
    w = values(cols * kL);
    t = values(cols * kL);
    e = values(cols * kL);
    h.resize(static_cast<std::size_t>(cols * cols));
    const std::vector<float> x = values(cols * cols);
    for (std::int64_t i = 0; i < cols; ++i)
      for (std::int64_t j = 0; j < cols; ++j) {
        float sum = i == j ? 0.1f : 0.0f;
        for (std::int64_t k = 0; k < cols; ++k) sum += x[at(k, i)] * x[at(k, j)];
        h[at(i, j)] = sum;
      }
    for (std::int64_t j = 0; j < cols; ++j) {
      curvature.push_back(1 / h[at(j, j)]);
      weight.push_back(h[at(j, j)]);
    }
    for (float& s : grid.scale) s = numbers.values(1, 0.05f, 0.3f)[0] * (numbers.bits() % 2 == 0 ? 1.0f : -1.0f);
    for (float& z : grid.zero) z = static_cast<float>(numbers.bits() % 16);
  }
  std::size_t at(std::int64_t i, std::int64_t j) const { return static_cast<std::size_t>(i * cols + j); }
  std::vector<float> values(std::int64_t count) { return numbers.values(static_cast<std::size_t>(count), -1.0f, 1.0f); }

  std::int64_t cols;
  Numbers numbers;
  std::vector<float> w, t, e, h, curvature, weight;
  FeedbackGrid grid;
};

constexpr float kReach[] = {0.8f, 0.9f, 1.0f, 1.1f, 1.3f, 1.6f};

/// tr(E H E^T) of one lane.
double loss(const Problem& p, const std::vector<float>& e, int lane) {
  double sum = 0;
  for (std::int64_t i = 0; i < p.cols; ++i)
    for (std::int64_t j = 0; j < p.cols; ++j)
      sum += static_cast<double>(e[static_cast<std::size_t>(i * kL + lane)]) * p.h[p.at(i, j)] *
             e[static_cast<std::size_t>(j * kL + lane)];
  return sum;
}

TEST(ErrorFeedback, KernelsHaveTheBitsOfTheReference) {
  const FeedbackKernel& reference = *feedback_kernels().front();
  for (const std::int64_t cols : {1, 2, 5, 8, 19, 40}) {
    const Problem p(cols, static_cast<std::uint64_t>(cols));
    struct Outcome {
      std::vector<float> accumulated, view, t, code, e, g, slope, bend;
      FeedbackGrid symmetric, asymmetric;
      std::int64_t changed = 0;
    };
    const auto run = [&](const FeedbackKernel& kernel) {
      Outcome out{p.t, p.t, p.t, p.t, p.e, p.e, std::vector<float>(kL), std::vector<float>(kL), p.grid, p.grid};
      const std::int64_t from = cols / 3;
      Guarded<float> guarded(p.t);
      kernel.accumulate(p.h.data(), cols, 0, from, p.e.data(), from, cols, guarded.data());
      std::copy_n(guarded.data(), out.accumulated.size(), out.accumulated.begin());
      kernel.compensate(p.h.data(), cols, from, cols, p.w.data(), p.t.data(), out.view.data());
      kernel.quantize(p.h.data(), cols, from, cols, p.grid, p.w.data(), out.t.data(), out.code.data(), out.e.data());
      kernel.quantize(p.h.data(), cols, 0, from, p.grid, p.w.data(), out.t.data(), out.code.data(), out.e.data());
      out.changed = kernel.descend(p.h.data(), cols, cols, p.curvature.data(), 0, cols, p.grid, out.code.data(),
                                   out.e.data(), out.g.data());
      kernel.scale_terms(p.h.data(), cols, from, cols, p.grid, out.code.data(), out.g.data(), out.slope.data(),
                         out.bend.data());
      kernel.search_symmetric(p.t.data(), p.weight.data(), from, cols, kReach, 6, out.symmetric);
      kernel.search_asymmetric(p.t.data(), p.weight.data(), 0, cols, kReach, 6, out.asymmetric);
      return out;
    };
    const Outcome expected = run(reference);
    for (const FeedbackKernel* kernel : feedback_kernels()) {
      if (!can_run(kernel->info, detected_cpu_features())) continue;
      SCOPED_TRACE(kernel->info.name);
      const Outcome got = run(*kernel);
      EXPECT_TRUE(same_bits(got.accumulated, expected.accumulated));
      EXPECT_TRUE(same_bits(got.view, expected.view));
      EXPECT_TRUE(same_bits(got.t, expected.t));
      EXPECT_TRUE(same_bits(got.code, expected.code));
      EXPECT_TRUE(same_bits(got.e, expected.e));
      EXPECT_TRUE(same_bits(got.g, expected.g));
      EXPECT_TRUE(same_bits(got.slope, expected.slope));
      EXPECT_TRUE(same_bits(got.bend, expected.bend));
      EXPECT_EQ(got.changed, expected.changed);
      EXPECT_TRUE(same_bits(got.symmetric.scale, expected.symmetric.scale));
      EXPECT_TRUE(same_bits(got.asymmetric.scale, expected.asymmetric.scale));
      EXPECT_TRUE(same_bits(got.asymmetric.zero, expected.asymmetric.zero));
    }
  }
  if (const std::string names = testing::skipped_kernels(feedback_kernels()); !names.empty())
    GTEST_SKIP() << "not run on this machine: " << names;
}

/// Every code is the nearest to its target, and the targets carry the errors of all columns before.
TEST(ErrorFeedback, QuantizeFeedsErrorsForward) {
  const Problem p(24, 7);
  std::vector<float> t = p.w;
  std::vector<float> code(t.size());
  std::vector<float> e(t.size());
  const FeedbackKernel& kernel = feedback_kernel();
  for (std::int64_t from = 0; from < p.cols; from += 8) {
    kernel.quantize(p.h.data(), p.cols, from, from + 8, p.grid, p.w.data(), t.data(), code.data(), e.data());
    kernel.accumulate(p.h.data(), p.cols, from, from + 8, e.data(), from + 8, p.cols, t.data());
  }
  for (int lane = 0; lane < kL; ++lane) {
    for (std::int64_t j = 0; j < p.cols; ++j) {
      const auto x = static_cast<std::size_t>(j * kL + lane);
      double target = p.w[x];
      for (std::int64_t k = 0; k < j; ++k)
        target += static_cast<double>(e[static_cast<std::size_t>(k * kL + lane)]) * p.h[p.at(k, j)];
      EXPECT_NEAR(t[x], target, 1e-4);
      const double scale = p.grid.scale[lane];
      const double value = scale * (code[x] - static_cast<double>(p.grid.zero[lane]));
      EXPECT_NEAR(e[x], p.w[x] - value, 1e-6);
      for (int other = 0; other <= 15; ++other)
        EXPECT_GE(std::fabs(t[x] - scale * (other - static_cast<double>(p.grid.zero[lane]))),
                  std::fabs(t[x] - value) - 1e-5);
    }
  }
}

TEST(ErrorFeedback, DescentLowersTheLossUntilNoCodeHelps) {
  Problem p(24, 8);
  const FeedbackKernel& kernel = feedback_kernel();
  std::vector<float> code(p.w.size());
  std::vector<float> e(p.w.size());
  const std::vector<float> no_feedback(p.h.size());
  std::vector<float> t = p.w;
  kernel.quantize(no_feedback.data(), p.cols, 0, p.cols, p.grid, p.w.data(), t.data(), code.data(), e.data());
  std::vector<float> g(p.w.size());
  kernel.accumulate(p.h.data(), p.cols, 0, p.cols, e.data(), 0, p.cols, g.data());
  std::vector<double> before;
  for (int lane = 0; lane < kL; ++lane) before.push_back(loss(p, e, lane));
  std::int64_t changed = 1;
  for (int sweep = 0; sweep < 50 && changed > 0; ++sweep) {
    changed = kernel.descend(p.h.data(), p.cols, p.cols, p.curvature.data(), 0, p.cols, p.grid, code.data(), e.data(),
                             g.data());
    double total = 0;
    for (int lane = 0; lane < kL; ++lane) {
      const double now = loss(p, e, lane);
      EXPECT_LE(now, before[static_cast<std::size_t>(lane)] * (1 + 1e-5));
      before[static_cast<std::size_t>(lane)] = now;
      total += now;
    }
    EXPECT_GT(total, 0);
  }
  EXPECT_EQ(changed, 0) << "no end";
  for (std::size_t i = 0; i < p.w.size(); ++i) {
    const auto lane = i % kL;
    EXPECT_NEAR(e[i], p.w[i] - p.grid.scale[lane] * (code[i] - p.grid.zero[lane]), 1e-5);
  }
}

/// The change of scale that the terms give is the best one.
TEST(ErrorFeedback, ScaleTermsGiveTheMinimum) {
  Problem p(12, 9);
  const FeedbackKernel& kernel = feedback_kernel();
  std::vector<float> code(p.w.size());
  std::vector<float> e(p.w.size());
  std::vector<float> t = p.w;
  kernel.quantize(p.h.data(), p.cols, 0, p.cols, p.grid, p.w.data(), t.data(), code.data(), e.data());
  std::vector<float> g(p.w.size());
  kernel.accumulate(p.h.data(), p.cols, 0, p.cols, e.data(), 0, p.cols, g.data());
  std::vector<float> slope(kL);
  std::vector<float> bend(kL);
  const std::int64_t from = 4;
  kernel.scale_terms(p.h.data(), p.cols, from, p.cols, p.grid, code.data(), g.data(), slope.data(), bend.data());
  for (int lane = 0; lane < kL; ++lane) {
    const auto l = static_cast<std::size_t>(lane);
    const auto with = [&](double change) {
      std::vector<float> other = e;
      for (std::int64_t j = from; j < p.cols; ++j) {
        const auto x = static_cast<std::size_t>(j * kL + lane);
        other[x] -= static_cast<float>(change * (code[x] - static_cast<double>(p.grid.zero[l])));
      }
      return loss(p, other, lane);
    };
    const double best = static_cast<double>(slope[l]) / bend[l];
    EXPECT_LE(with(best), with(0) * (1 + 1e-5));
    EXPECT_LE(with(best), with(best * 0.9) * (1 + 1e-5));
    EXPECT_LE(with(best), with(best * 1.1) * (1 + 1e-5));
  }
}

/// Weighted squared error of rounding lane `lane` of t to a grid.
double rounding_error(const Problem& p, const FeedbackGrid& grid, int lane) {
  double sum = 0;
  for (std::int64_t j = 0; j < p.cols; ++j) {
    const double x = p.t[static_cast<std::size_t>(j * kL + lane)];
    const double scale = grid.scale[lane];
    const double code = std::clamp(std::nearbyint(x / scale) + static_cast<double>(grid.zero[lane]),
                                   static_cast<double>(grid.low), static_cast<double>(grid.high));
    const double error = x - scale * (code - static_cast<double>(grid.zero[lane]));
    sum += static_cast<double>(p.weight[static_cast<std::size_t>(j)]) * error * error;
  }
  return sum;
}

TEST(ErrorFeedback, SearchesBeatTheFullRange) {
  for (const float top : {3.0f, 15.0f}) {
    Problem p(32, 10);
    const FeedbackKernel& kernel = feedback_kernel();
    FeedbackGrid symmetric;
    symmetric.high = top;
    std::fill(std::begin(symmetric.zero), std::end(symmetric.zero), (top + 1) / 2);
    FeedbackGrid asymmetric = symmetric;
    FeedbackGrid full = symmetric;
    FeedbackGrid min_max = symmetric;
    kernel.search_symmetric(p.t.data(), p.weight.data(), 0, p.cols, kReach, 6, symmetric);
    kernel.search_asymmetric(p.t.data(), p.weight.data(), 0, p.cols, kReach, 6, asymmetric);
    for (int lane = 0; lane < kL; ++lane) {
      float low = 0;
      float high = 0;
      for (std::int64_t j = 0; j < p.cols; ++j) {
        low = std::min(low, p.t[static_cast<std::size_t>(j * kL + lane)]);
        high = std::max(high, p.t[static_cast<std::size_t>(j * kL + lane)]);
      }
      full.scale[lane] = (-low > high ? -low : -high) / ((top + 1) / 2);
      min_max.scale[lane] = (high - low) / top;
      min_max.zero[lane] = std::nearbyint(-low / min_max.scale[lane]);
      EXPECT_LE(rounding_error(p, symmetric, lane), rounding_error(p, full, lane) * (1 + 1e-5)) << top;
      EXPECT_LE(rounding_error(p, asymmetric, lane), rounding_error(p, min_max, lane) * (1 + 1e-5)) << top;
    }
  }
}

TEST(ErrorFeedback, ZerosHaveTheScaleOne) {
  Problem p(8, 11);
  std::fill(p.t.begin(), p.t.end(), 0.0f);
  FeedbackGrid grid;
  std::fill(std::begin(grid.zero), std::end(grid.zero), 8.0f);
  feedback_kernel().search_symmetric(p.t.data(), p.weight.data(), 0, p.cols, kReach, 6, grid);
  for (const float scale : grid.scale) EXPECT_EQ(scale, 1.0f);
  feedback_kernel().search_asymmetric(p.t.data(), p.weight.data(), 0, p.cols, kReach, 6, grid);
  for (const float scale : grid.scale) EXPECT_EQ(scale, 1.0f);
}

}  // namespace
}  // namespace nibble::kernel
