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

/// Ascending levels of each lane and what lies between them.
struct LaneTable {
  LaneTable(int count, Numbers& numbers) {
    std::vector<float> lanes(static_cast<std::size_t>(count * kL));
    for (int lane = 0; lane < kL; ++lane) {
      std::vector<float> of_lane = numbers.values(static_cast<std::size_t>(count), -8.0f, 8.0f);
      std::sort(of_lane.begin(), of_lane.end());
      for (int i = 0; i < count; ++i)
        lanes[static_cast<std::size_t>(i * kL + lane)] = of_lane[static_cast<std::size_t>(i)];
    }
    levels = lanes;
    for (std::size_t i = 0; i + kL < levels.size(); ++i) middles.push_back(0.5f * (levels[i] + levels[i + kL]));
  }
  std::vector<float> levels, middles;
};

/// Sixteen rows of `cols` weights with a positive definite h [cols, cols].
struct Problem {
  explicit Problem(std::int64_t size, std::uint64_t seed) : cols(size), numbers(seed), table(11, numbers) {
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
    for (float& s : integers.scale) s = numbers.values(1, 0.05f, 0.3f)[0] * (numbers.bits() % 2 == 0 ? 1.0f : -1.0f);
    for (float& z : integers.zero) z = static_cast<float>(numbers.bits() % 16);
    offset_integers = integers;
    for (int lane = 0; lane < kL; ++lane) {
      offset_integers.zero[lane] += 0.375f;
      offset_integers.offset[lane] = numbers.values(1, -0.2f, 0.2f)[0];
    }
    levels = integers;
    levels.levels = table.levels.data();
    levels.middles = table.middles.data();
    levels.count = 11;
  }
  Problem(const Problem&) = delete;
  Problem& operator=(const Problem&) = delete;

  std::size_t at(std::int64_t i, std::int64_t j) const { return static_cast<std::size_t>(i * cols + j); }
  std::vector<float> values(std::int64_t count) { return numbers.values(static_cast<std::size_t>(count), -1.0f, 1.0f); }
  /// Of every kind.
  std::vector<const FeedbackGrid*> grids() const { return {&integers, &offset_integers, &levels}; }

  std::int64_t cols;
  Numbers numbers;
  LaneTable table;
  std::vector<float> w, t, e, h, curvature, weight;
  FeedbackGrid integers, offset_integers, levels;
};

/// The levels of one lane of a grid.
std::vector<double> levels_of(const FeedbackGrid& grid, int lane) {
  std::vector<double> out;
  for (int i = 0; i < grid.count; ++i) out.push_back(static_cast<double>(grid.levels[i * kL + lane]));
  if (out.empty())
    for (int code = 0; code <= static_cast<int>(grid.high); ++code)
      out.push_back(code - static_cast<double>(grid.zero[lane]));
  return out;
}

double value_of(const FeedbackGrid& grid, int lane, double level) {
  return static_cast<double>(grid.scale[lane]) * level + static_cast<double>(grid.offset[lane]);
}

constexpr float kReach[] = {0.8f, 0.9f, 1.0f, 1.1f, 1.3f, 1.6f};
constexpr float kBothSigns[] = {0.8f, -0.8f, 0.9f, -0.9f, 1.0f, -1.0f, 1.2f, -1.2f, 1.5f, -1.5f};

/// tr(E H E^T) of one lane.
double loss(const Problem& p, const std::vector<float>& e, int lane) {
  double sum = 0;
  for (std::int64_t i = 0; i < p.cols; ++i)
    for (std::int64_t j = 0; j < p.cols; ++j)
      sum += static_cast<double>(e[static_cast<std::size_t>(i * kL + lane)]) * p.h[p.at(i, j)] *
             e[static_cast<std::size_t>(j * kL + lane)];
  return sum;
}

/// What the kernels make of a problem on one grid.
struct Outcome {
  std::vector<float> accumulated, view, t, level, e, g, error, form;
  FeedbackGrid scaled, zeroed, offset, below;
  std::int64_t changed = 0;
};

Outcome run(const FeedbackKernel& kernel, const Problem& p, const FeedbackGrid& grid) {
  Outcome out{p.t,  p.t,        p.t,        p.t,       p.e, p.e, std::vector<float>(kL), std::vector<float>(kL),
              grid, p.integers, p.integers, p.integers};
  const std::int64_t cols = p.cols;
  const std::int64_t from = cols / 3;
  std::fill(std::begin(out.offset.zero), std::end(out.offset.zero), 0.0f);
  out.below = out.offset;
  Guarded<float> guarded(p.t);
  kernel.accumulate(p.h.data(), cols, 0, from, p.e.data(), from, cols, guarded.data());
  std::copy_n(guarded.data(), out.accumulated.size(), out.accumulated.begin());
  kernel.compensate(p.h.data(), cols, from, cols, p.w.data(), p.t.data(), out.view.data());
  Guarded<float> scratch(std::vector<float>(static_cast<std::size_t>((cols - from) * kL)));
  kernel.trial(p.h.data(), cols, p.weight.data(), from, cols, grid, p.t.data(), scratch.data(), out.error.data());
  kernel.quantize(p.h.data(), cols, from, cols, grid, p.w.data(), out.t.data(), out.level.data(), out.e.data());
  kernel.quantize(p.h.data(), cols, 0, from, grid, p.w.data(), out.t.data(), out.level.data(), out.e.data());
  out.changed = kernel.descend(p.h.data(), cols, cols, p.curvature.data(), 0, cols, grid, out.level.data(),
                               out.e.data(), out.g.data());
  kernel.bilinear(p.h.data(), cols, from, cols, out.level.data(), p.w.data(), out.form.data());
  kernel.search_scale(p.t.data(), p.weight.data(), from, cols, kReach, 6, out.scaled);
  kernel.search_zero(p.t.data(), p.weight.data(), 0, cols, kReach, 6, out.zeroed);
  kernel.search_offset(p.t.data(), p.weight.data(), 0, cols, kReach, 6, false, out.offset);
  kernel.search_offset(p.t.data(), p.weight.data(), from, cols, kReach, 6, true, out.below);
  return out;
}

TEST(ErrorFeedback, KernelsHaveTheBitsOfTheReference) {
  const FeedbackKernel& reference = *feedback_kernels().front();
  for (const std::int64_t cols : {1, 2, 5, 8, 19, 40}) {
    const Problem p(cols, static_cast<std::uint64_t>(cols));
    for (const FeedbackGrid* grid : p.grids()) {
      const Outcome expected = run(reference, p, *grid);
      for (const FeedbackKernel* kernel : feedback_kernels()) {
        if (!can_run(kernel->info, detected_cpu_features())) continue;
        SCOPED_TRACE(kernel->info.name);
        const Outcome got = run(*kernel, p, *grid);
        EXPECT_TRUE(same_bits(got.accumulated, expected.accumulated));
        EXPECT_TRUE(same_bits(got.view, expected.view));
        EXPECT_TRUE(same_bits(got.t, expected.t));
        EXPECT_TRUE(same_bits(got.level, expected.level));
        EXPECT_TRUE(same_bits(got.e, expected.e));
        EXPECT_TRUE(same_bits(got.g, expected.g));
        EXPECT_TRUE(same_bits(got.error, expected.error));
        EXPECT_TRUE(same_bits(got.form, expected.form));
        EXPECT_EQ(got.changed, expected.changed);
        EXPECT_TRUE(same_bits(got.scaled.scale, expected.scaled.scale));
        EXPECT_TRUE(same_bits(got.zeroed.scale, expected.zeroed.scale));
        EXPECT_TRUE(same_bits(got.zeroed.zero, expected.zeroed.zero));
        EXPECT_TRUE(same_bits(got.offset.scale, expected.offset.scale));
        EXPECT_TRUE(same_bits(got.offset.offset, expected.offset.offset));
        EXPECT_TRUE(same_bits(got.below.scale, expected.below.scale));
        EXPECT_TRUE(same_bits(got.below.offset, expected.below.offset));
      }
    }
  }
  if (const std::string names = testing::skipped_kernels(feedback_kernels()); !names.empty())
    GTEST_SKIP() << "not run on this machine: " << names;
}

/// Every level is the nearest to its target, and the targets carry the errors of all columns before.
TEST(ErrorFeedback, QuantizeFeedsErrorsForward) {
  const Problem p(24, 7);
  const FeedbackKernel& kernel = feedback_kernel();
  for (const FeedbackGrid* grid : p.grids()) {
    std::vector<float> t = p.w;
    std::vector<float> level(t.size());
    std::vector<float> e(t.size());
    for (std::int64_t from = 0; from < p.cols; from += 8) {
      kernel.quantize(p.h.data(), p.cols, from, from + 8, *grid, p.w.data(), t.data(), level.data(), e.data());
      kernel.accumulate(p.h.data(), p.cols, from, from + 8, e.data(), from + 8, p.cols, t.data());
    }
    for (int lane = 0; lane < kL; ++lane) {
      for (std::int64_t j = 0; j < p.cols; ++j) {
        const auto x = static_cast<std::size_t>(j * kL + lane);
        double target = p.w[x];
        for (std::int64_t k = 0; k < j; ++k)
          target += static_cast<double>(e[static_cast<std::size_t>(k * kL + lane)]) * p.h[p.at(k, j)];
        EXPECT_NEAR(t[x], target, 1e-4);
        const double value = value_of(*grid, lane, static_cast<double>(level[x]));
        EXPECT_NEAR(e[x], p.w[x] - value, 1e-6);
        for (const double other : levels_of(*grid, lane))
          EXPECT_GE(std::fabs(t[x] - value_of(*grid, lane, other)), std::fabs(t[x] - value) - 1e-5);
      }
    }
  }
}

/// A trial tells what quantize() then leaves, for the first run of columns.
TEST(ErrorFeedback, TrialTellsTheErrorOfQuantizing) {
  const Problem p(17, 12);
  const FeedbackKernel& kernel = feedback_kernel();
  for (const FeedbackGrid* grid : p.grids()) {
    std::vector<float> t = p.w;
    std::vector<float> level(t.size());
    std::vector<float> e(t.size());
    std::vector<float> scratch(t.size());
    std::vector<float> error(kL);
    kernel.trial(p.h.data(), p.cols, p.weight.data(), 0, p.cols, *grid, p.w.data(), scratch.data(), error.data());
    kernel.quantize(p.h.data(), p.cols, 0, p.cols, *grid, p.w.data(), t.data(), level.data(), e.data());
    for (int lane = 0; lane < kL; ++lane) {
      double expected = 0;
      for (std::int64_t j = 0; j < p.cols; ++j) {
        const auto x = static_cast<std::size_t>(j * kL + lane);
        const double left = t[x] - value_of(*grid, lane, static_cast<double>(level[x]));
        expected += static_cast<double>(p.weight[static_cast<std::size_t>(j)]) * left * left;
      }
      EXPECT_NEAR(error[static_cast<std::size_t>(lane)], expected, 1e-4 * expected + 1e-6);
    }
  }
}

TEST(ErrorFeedback, DescentLowersTheLossUntilNoLevelHelps) {
  Problem p(24, 8);
  const FeedbackKernel& kernel = feedback_kernel();
  const std::vector<float> no_feedback(p.h.size());
  for (const FeedbackGrid* grid : p.grids()) {
    std::vector<float> level(p.w.size());
    std::vector<float> e(p.w.size());
    std::vector<float> t = p.w;
    kernel.quantize(no_feedback.data(), p.cols, 0, p.cols, *grid, p.w.data(), t.data(), level.data(), e.data());
    std::vector<float> g(p.w.size());
    kernel.accumulate(p.h.data(), p.cols, 0, p.cols, e.data(), 0, p.cols, g.data());
    std::vector<double> before;
    for (int lane = 0; lane < kL; ++lane) before.push_back(loss(p, e, lane));
    std::int64_t changed = 1;
    for (int sweep = 0; sweep < 50 && changed > 0; ++sweep) {
      changed = kernel.descend(p.h.data(), p.cols, p.cols, p.curvature.data(), 0, p.cols, *grid, level.data(), e.data(),
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
    for (std::size_t i = 0; i < p.w.size(); ++i)
      EXPECT_NEAR(e[i], p.w[i] - value_of(*grid, static_cast<int>(i % kL), static_cast<double>(level[i])), 1e-5);
  }
}

/// The change of scale that the forms give is the best one.
TEST(ErrorFeedback, FormsGiveTheBestScale) {
  const Problem p(12, 9);
  const FeedbackKernel& kernel = feedback_kernel();
  for (const FeedbackGrid* grid : p.grids()) {
    std::vector<float> level(p.w.size());
    std::vector<float> e(p.w.size());
    std::vector<float> t = p.w;
    kernel.quantize(p.h.data(), p.cols, 0, p.cols, *grid, p.w.data(), t.data(), level.data(), e.data());
    std::vector<float> slope(kL);
    std::vector<float> bend(kL);
    const std::int64_t from = 4;
    kernel.bilinear(p.h.data(), p.cols, from, p.cols, level.data(), level.data(), bend.data());
    for (int lane = 0; lane < kL; ++lane) {
      const auto with = [&](double change) {
        std::vector<float> other = e;
        for (std::int64_t j = from; j < p.cols; ++j) {
          const auto x = static_cast<std::size_t>(j * kL + lane);
          other[x] -= static_cast<float>(change * static_cast<double>(level[x]));
        }
        return loss(p, other, lane);
      };
      double slope_of_lane = 0;
      for (std::int64_t i = 0; i < p.cols; ++i)
        for (std::int64_t j = from; j < p.cols; ++j)
          slope_of_lane += static_cast<double>(e[static_cast<std::size_t>(i * kL + lane)]) * p.h[p.at(i, j)] *
                           level[static_cast<std::size_t>(j * kL + lane)];
      const double best = slope_of_lane / bend[static_cast<std::size_t>(lane)];
      EXPECT_LE(with(best), with(0) * (1 + 1e-5));
      EXPECT_LE(with(best), with(best * 0.9) * (1 + 1e-5));
      EXPECT_LE(with(best), with(best * 1.1) * (1 + 1e-5));
    }
  }
}

/// Weighted squared error of rounding lane `lane` of t to a grid.
double rounding_error(const Problem& p, const FeedbackGrid& grid, int lane) {
  double sum = 0;
  for (std::int64_t j = 0; j < p.cols; ++j) {
    const double x = p.t[static_cast<std::size_t>(j * kL + lane)];
    double least = 1e30;
    for (const double level : levels_of(grid, lane)) {
      const double error = x - value_of(grid, lane, level);
      least = std::min(least, error * error);
    }
    sum += static_cast<double>(p.weight[static_cast<std::size_t>(j)]) * least;
  }
  return sum;
}

TEST(ErrorFeedback, SearchesBeatTheFullRange) {
  const FeedbackKernel& kernel = feedback_kernel();
  for (const float top : {3.0f, 15.0f}) {
    Problem p(32, 10);
    FeedbackGrid symmetric;
    symmetric.high = top;
    std::fill(std::begin(symmetric.zero), std::end(symmetric.zero), (top + 1) / 2);
    FeedbackGrid asymmetric = symmetric;
    FeedbackGrid full = symmetric;
    FeedbackGrid min_max = symmetric;
    FeedbackGrid affine;
    affine.high = top;
    FeedbackGrid affine_below = affine;
    FeedbackGrid affine_full = affine;
    kernel.search_scale(p.t.data(), p.weight.data(), 0, p.cols, kBothSigns, std::size(kBothSigns), symmetric);
    kernel.search_zero(p.t.data(), p.weight.data(), 0, p.cols, kReach, std::size(kReach), asymmetric);
    kernel.search_offset(p.t.data(), p.weight.data(), 0, p.cols, kReach, std::size(kReach), false, affine);
    kernel.search_offset(p.t.data(), p.weight.data(), 0, p.cols, kReach, std::size(kReach), true, affine_below);
    for (int lane = 0; lane < kL; ++lane) {
      float low = 0;
      float high = 0;
      for (std::int64_t j = 0; j < p.cols; ++j) {
        low = std::min(low, p.t[static_cast<std::size_t>(j * kL + lane)]);
        high = std::max(high, p.t[static_cast<std::size_t>(j * kL + lane)]);
      }
      full.scale[lane] = (-low > high ? -low : -high) / ((top + 1) / 2);
      min_max.scale[lane] = affine_full.scale[lane] = (high - low) / top;
      min_max.zero[lane] = std::nearbyint(-low / min_max.scale[lane]);
      affine_full.offset[lane] = low;
      EXPECT_LE(rounding_error(p, symmetric, lane), rounding_error(p, full, lane) * (1 + 1e-5)) << top;
      EXPECT_LE(rounding_error(p, asymmetric, lane), rounding_error(p, min_max, lane) * (1 + 1e-5)) << top;
      EXPECT_LE(rounding_error(p, affine, lane), rounding_error(p, affine_full, lane) * (1 + 1e-5)) << top;
      EXPECT_LE(rounding_error(p, affine_below, lane), rounding_error(p, affine_full, lane) * (1 + 1e-5)) << top;
      EXPECT_LE(affine_below.offset[lane], 0.0f);
    }
  }
}

TEST(ErrorFeedback, SearchOverATableBeatsItsFullRange) {
  const Problem p(32, 13);
  FeedbackGrid grid = p.levels;
  feedback_kernel().search_scale(p.t.data(), p.weight.data(), 0, p.cols, kBothSigns, std::size(kBothSigns), grid);
  for (int lane = 0; lane < kL; ++lane) {
    float peak = 0;
    for (std::int64_t j = 0; j < p.cols; ++j)
      peak = std::max(peak, std::fabs(p.t[static_cast<std::size_t>(j * kL + lane)]));
    FeedbackGrid full = grid;
    full.scale[lane] = peak / std::max(-grid.levels[lane], grid.levels[(grid.count - 1) * kL + lane]);
    EXPECT_LE(rounding_error(p, grid, lane), rounding_error(p, full, lane) * (1 + 1e-5));
  }
}

TEST(ErrorFeedback, ZerosHaveTheScaleOne) {
  Problem p(8, 11);
  std::fill(p.t.begin(), p.t.end(), 0.0f);
  FeedbackGrid grid;
  std::fill(std::begin(grid.zero), std::end(grid.zero), 8.0f);
  feedback_kernel().search_scale(p.t.data(), p.weight.data(), 0, p.cols, kReach, 6, grid);
  for (const float scale : grid.scale) EXPECT_EQ(scale, 1.0f);
  feedback_kernel().search_zero(p.t.data(), p.weight.data(), 0, p.cols, kReach, 6, grid);
  for (const float scale : grid.scale) EXPECT_EQ(scale, 1.0f);
  std::fill(std::begin(grid.zero), std::end(grid.zero), 0.0f);
  std::fill(p.t.begin(), p.t.end(), 0.25f);
  feedback_kernel().search_offset(p.t.data(), p.weight.data(), 0, p.cols, kReach, 6, false, grid);
  for (int lane = 0; lane < kL; ++lane) {
    EXPECT_EQ(grid.scale[lane], 0.0f);
    EXPECT_NEAR(grid.offset[lane], 0.25f, 1e-6f);
  }
}

}  // namespace
}  // namespace nibble::kernel
