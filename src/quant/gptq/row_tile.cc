#include "quant/gptq/row_tile.h"

#include <algorithm>
#include <cmath>

namespace nibble {
namespace {

using kernel::FeedbackGrid;

constexpr std::int64_t kL = kernel::kFeedbackLanes;
constexpr std::int64_t kFeedbackBlock = 64;  ///< columns whose errors go on to all later ones at once

double inner_product(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

float value_of(const FeedbackGrid& grid, std::int64_t lane, float level) {
  return grid.scale[lane] * level + grid.offset[lane];
}

/// The level of the same code on a grid with another zero point.
float level_on(const FeedbackGrid& next, const FeedbackGrid& old, std::int64_t lane, float level) {
  if (next.zero[lane] == old.zero[lane]) return level;
  return std::nearbyint(level + old.zero[lane]) - next.zero[lane];
}

}  // namespace

RowTile::RowTile(const SecondOrder& h, const GptqOptions& options, QuantizedMatrix& out)
    : h_(h), options_(options), cols_(h.cols), grids_(h, options, out) {
  const auto size = static_cast<std::size_t>(cols_ * kL);
  for (std::vector<float>* array : {&w_, &t_, &view_, &level_, &e_, &g_}) array->resize(size);
  if (!options.feedback) zeros_.resize(static_cast<std::size_t>(cols_));
}

void RowTile::gather(std::span<const float> weights, std::int64_t rows, std::int64_t first_row) {
  const std::int64_t lanes = std::min(kL, rows - first_row);
  for (std::int64_t p = 0; p < cols_; ++p) {
    const std::int64_t column = h_.order[static_cast<std::size_t>(p)];
    for (std::int64_t lane = 0; lane < kL; ++lane)
      w_[static_cast<std::size_t>(p * kL + lane)] =
          lane < lanes ? weights[static_cast<std::size_t>((first_row + lane) * cols_ + column)] : 0.0f;
  }
  grids_.begin(first_row, lanes, w_.data());
}

/// What the grid of these columns is to be chosen from.
void RowTile::view_of(ColumnRun columns) {
  if (options_.feedback && columns.from > 0) {
    kernel_.compensate(h_.u.data(), cols_, columns.from, columns.to, w_.data(), t_.data(), view_.data());
  } else {
    std::copy(w_.begin() + columns.from * kL, w_.begin() + columns.to * kL, view_.begin() + columns.from * kL);
  }
}

void RowTile::quantize_run(ColumnRun run, const FeedbackGrid& grid) {
  for (std::int64_t begin = run.from; begin < run.to; begin += kFeedbackBlock) {
    const std::int64_t end = std::min(run.to, begin + kFeedbackBlock);
    if (!options_.feedback) {
      kernel_.quantize(zeros_.data(), 0, begin, end, grid, w_.data(), t_.data(), level_.data(), e_.data());
      continue;
    }
    kernel_.quantize(h_.u.data(), cols_, begin, end, grid, w_.data(), t_.data(), level_.data(), e_.data());
    kernel_.accumulate(h_.u.data(), cols_, begin, end, e_.data(), end, cols_, t_.data());
  }
}

void RowTile::quantize() {
  t_ = w_;
  const std::vector<ColumnRun>& runs = grids_.runs();
  const std::int64_t step = grids_.runs_per_unit();
  for (std::int64_t n = 0; n < static_cast<std::int64_t>(runs.size()); ++n) {
    const ColumnRun run = runs[static_cast<std::size_t>(n)];
    if (step > 1 && n % step == 0) {
      view_of({run.from, runs[static_cast<std::size_t>(n + step - 1)].to});
      grids_.choose_outer(n, n + step, view_.data());
    }
    view_of(run);
    grids_.choose(n, view_.data());
    quantize_run(run, grids_.grid(n));
  }
}

/// g = E H
void RowTile::update_gradient() {
  std::fill(g_.begin(), g_.end(), 0.0f);
  kernel_.accumulate(h_.h.data(), cols_, 0, cols_, e_.data(), 0, cols_, g_.data());
}

double RowTile::error() const { return inner_product(e_, g_); }

void RowTile::measure(double& error_sum, double& norm) {
  update_gradient();
  error_sum += error();
  std::fill(g_.begin(), g_.end(), 0.0f);
  kernel_.accumulate(h_.h.data(), cols_, 0, cols_, w_.data(), 0, cols_, g_.data());
  norm += inner_product(w_, g_);
}

/// Gives every code the best value while all others stay; how many changed.
std::int64_t RowTile::sweep() {
  std::int64_t changed = 0;
  for (std::size_t n = 0; n < grids_.runs().size(); ++n) {
    const ColumnRun run = grids_.runs()[n];
    changed += kernel_.descend(h_.h.data(), cols_, cols_, h_.curvature.data(), run.from, run.to,
                               grids_.grid(static_cast<std::int64_t>(n)), level_.data(), e_.data(), g_.data());
  }
  return changed;
}

void RowTile::refine() {
  if (options_.sweeps == 0) return;
  update_gradient();
  double before = error();
  const auto runs = static_cast<std::int64_t>(grids_.runs().size());
  for (int n = 0; n < options_.sweeps; ++n) {
    if (options_.refit) {
      for (std::int64_t run = 0; run < runs; ++run) refit(run);
    }
    const std::int64_t changed = sweep();
    // Errors have been added up; now exactly.
    update_gradient();
    const double after = error();
    if ((changed == 0 && !options_.refit) || !(before - after > options_.least_gain * before)) return;
    before = after;
  }
}

/// Takes other grids for runs [first, last), levels kept, in the rows whose error that lowers.
void RowTile::offer(std::int64_t first, std::int64_t last, std::span<const FeedbackGrid> grids) {
  const std::int64_t from = grids_.runs()[static_cast<std::size_t>(first)].from;
  const std::int64_t to = grids_.runs()[static_cast<std::size_t>(last - 1)].to;
  // t_ is free after the pass: it holds the changes of the errors.
  Lanes slope{};
  bool any = false;
  for (std::int64_t n = first; n < last; ++n) {
    const FeedbackGrid& old = grids_.grid(n);
    const FeedbackGrid& next = grids[static_cast<std::size_t>(n - first)];
    const ColumnRun run = grids_.runs()[static_cast<std::size_t>(n)];
    for (std::int64_t i = run.from * kL; i < run.to * kL; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const std::int64_t lane = i % kL;
      t_[at] = value_of(old, lane, level_[at]) - value_of(next, lane, level_on(next, old, lane, level_[at]));
      slope[static_cast<std::size_t>(lane)] += t_[at] * g_[at];
      any = any || t_[at] != 0;
    }
  }
  if (!any) return;
  Lanes bend;
  kernel_.bilinear(h_.h.data(), cols_, from, to, t_.data(), t_.data(), bend.data());
  for (std::int64_t n = first; n < last; ++n) {
    FeedbackGrid grid = grids_.grid(n);
    const FeedbackGrid& next = grids[static_cast<std::size_t>(n - first)];
    const ColumnRun run = grids_.runs()[static_cast<std::size_t>(n)];
    for (std::int64_t lane = 0; lane < kL; ++lane) {
      const auto l = static_cast<std::size_t>(lane);
      const bool better = 2 * slope[l] + bend[l] < 0;
      for (std::int64_t p = run.from; p < run.to; ++p) {
        const auto at = static_cast<std::size_t>(p * kL + lane);
        if (!better) {
          t_[at] = 0;
          continue;
        }
        level_[at] = level_on(next, grid, lane, level_[at]);
        e_[at] = w_[at] - value_of(next, lane, level_[at]);
      }
      if (!better) continue;
      grid.scale[lane] = next.scale[lane];
      grid.zero[lane] = next.zero[lane];
      grid.offset[lane] = next.offset[lane];
    }
    grids_.set(n, grid);
  }
  kernel_.accumulate(h_.h.data(), cols_, from, to, t_.data(), 0, cols_, g_.data());
}

/// The best scale and offset of a run for its levels, all else kept.
void RowTile::refit(std::int64_t n) {
  if (!grids_.scale_moves() && !grids_.offset_moves()) return;
  const ColumnRun run = grids_.runs()[static_cast<std::size_t>(n)];
  const bool affine = grids_.offset_moves();
  Lanes xx, x1{}, bend{}, gx{}, g1{};
  kernel_.bilinear(h_.h.data(), cols_, run.from, run.to, level_.data(), level_.data(), xx.data());
  if (affine) {
    std::fill(view_.begin() + run.from * kL, view_.begin() + run.to * kL, 1.0f);
    kernel_.bilinear(h_.h.data(), cols_, run.from, run.to, level_.data(), view_.data(), x1.data());
    kernel_.bilinear(h_.h.data(), cols_, run.from, run.to, view_.data(), view_.data(), bend.data());
  }
  for (std::int64_t i = run.from * kL; i < run.to * kL; ++i) {
    const auto at = static_cast<std::size_t>(i);
    gx[at % kL] += g_[at] * level_[at];
    g1[at % kL] += g_[at];
  }
  Lanes scale{}, offset{};
  for (std::size_t lane = 0; lane < kL; ++lane) {
    const float determinant = xx[lane] * bend[lane] - x1[lane] * x1[lane];
    if (affine && determinant > 1e-5f * xx[lane] * bend[lane]) {
      scale[lane] = (gx[lane] * bend[lane] - g1[lane] * x1[lane]) / determinant;
      offset[lane] = (g1[lane] * xx[lane] - gx[lane] * x1[lane]) / determinant;
    } else if (xx[lane] > 0) {
      scale[lane] = gx[lane] / xx[lane];
    }
  }
  const FeedbackGrid next = grids_.changed(n, scale, offset);
  offer(n, n + 1, {&next, 1});
}

}  // namespace nibble
