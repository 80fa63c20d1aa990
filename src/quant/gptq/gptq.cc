// Sixteen rows at a time: gathered into lanes, quantized column by column, refined, and scattered into the matrix.
#include "quant/gptq/gptq.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "kernel/error_feedback/error_feedback.h"
#include "quant/rtn/group_grid.h"
#include "quant/stored_scale.h"

namespace nibble {
namespace {

using kernel::FeedbackGrid;
using kernel::FeedbackKernel;

constexpr std::int64_t kL = kernel::kFeedbackLanes;
constexpr std::int64_t kFeedbackBlock = 64;  ///< columns whose errors go on to all later ones at once

/// How far the range is divided in trials: below 1 leaves room, above 1 clips.
std::span<const float> trial_reaches() {
  static const std::vector<float> reaches = [] {
    std::vector<float> out;
    for (int i = 0; i < 25; ++i) out.push_back(0.80f + 0.04f * static_cast<float>(i));
    return out;
  }();
  return reaches;
}

/// Rows [first_row, first_row + kL) of the matrix, or the fewer that are left: the other lanes hold zeros.
class RowTile {
 public:
  RowTile(const SecondOrder& h, const QuantScheme& scheme, const GptqOptions& options, std::int64_t group)
      : h_(h),
        scheme_(scheme),
        options_(options),
        cols_(h.cols),
        group_(group),
        grids_(static_cast<std::size_t>((h.cols + group - 1) / group)) {
    const auto size = static_cast<std::size_t>(cols_ * kL);
    w_.resize(size);
    t_.resize(size);
    view_.resize(size);
    code_.resize(size);
    e_.resize(size);
    g_.resize(size);
  }

  void gather(std::span<const float> weights, std::int64_t rows, std::int64_t first_row) {
    first_row_ = first_row;
    lanes_ = std::min(kL, rows - first_row);
    for (std::int64_t p = 0; p < cols_; ++p)
      for (std::int64_t lane = 0; lane < kL; ++lane)
        w_[at(p, lane)] =
            lane < lanes_ ? weights[static_cast<std::size_t>((first_row + lane) * cols_ + column(p))] : 0.0f;
  }

  /// The pass: group by group, each scale chosen when the group's turn comes.
  void quantize() {
    t_ = w_;
    for (std::int64_t from = 0; from < cols_; from += group_) {
      const std::int64_t to = std::min(cols_, from + group_);
      FeedbackGrid& grid = grids_[static_cast<std::size_t>(from / group_)];
      if (options_.feedback && from > 0)
        kernel_.compensate(h_.u.data(), cols_, from, to, w_.data(), t_.data(), view_.data());
      else
        std::copy(w_.begin() + from * kL, w_.begin() + to * kL, view_.begin() + from * kL);
      choose_grid(from, to, grid);
      for (std::int64_t begin = from; begin < to; begin += kFeedbackBlock) {
        const std::int64_t end = std::min(to, begin + kFeedbackBlock);
        if (!options_.feedback) {
          kernel_.quantize(no_feedback().data(), 0, begin, end, grid, w_.data(), t_.data(), code_.data(), e_.data());
          continue;
        }
        kernel_.quantize(h_.u.data(), cols_, begin, end, grid, w_.data(), t_.data(), code_.data(), e_.data());
        kernel_.accumulate(h_.u.data(), cols_, begin, end, e_.data(), end, cols_, t_.data());
      }
    }
  }

  /// Descent over all codes, with scales in between.
  void refine() {
    if (options_.sweeps == 0) return;
    update_gradient();
    for (int sweep = 0; sweep < options_.sweeps; ++sweep) {
      std::int64_t changed = 0;
      for (std::int64_t from = 0; from < cols_; from += group_)
        changed += kernel_.descend(h_.h.data(), cols_, cols_, h_.curvature.data(), from, std::min(cols_, from + group_),
                                   grids_[static_cast<std::size_t>(from / group_)], code_.data(), e_.data(), g_.data());
      if (changed == 0 && !options_.refit) return;
      if (options_.refit && sweep + 1 < options_.sweeps)
        for (std::int64_t from = 0; from < cols_; from += group_) refit(from, std::min(cols_, from + group_));
      // Errors have been added up; now exactly.
      update_gradient();
    }
  }

  /// Adds tr(E H E^T) and tr(W H W^T) of the rows.
  void measure(double& error, double& norm) {
    update_gradient();
    error += inner_product(e_, g_);
    std::fill(g_.begin(), g_.end(), 0.0f);
    kernel_.accumulate(h_.h.data(), cols_, 0, cols_, w_.data(), 0, cols_, g_.data());
    norm += inner_product(w_, g_);
  }

  void scatter(QuantizedMatrix& out) const {
    const std::int64_t groups = static_cast<std::int64_t>(grids_.size());
    for (std::int64_t lane = 0; lane < lanes_; ++lane) {
      const std::int64_t row = first_row_ + lane;
      for (std::int64_t p = 0; p < cols_; ++p)
        out.codes[static_cast<std::size_t>(row * cols_ + column(p))] = static_cast<std::uint8_t>(code_[at(p, lane)]);
      for (std::int64_t n = 0; n < groups; ++n) {
        const FeedbackGrid& grid = grids_[static_cast<std::size_t>(n)];
        const std::int64_t entry = row * groups + column(n * group_) / group_;
        store_entry(scheme_.scale->element, grid.scale[lane], out.scale.entries, entry);
        if (scheme_.zero_kind == ZeroKind::kInteger)
          store_entry(ElementType::kI16, grid.zero[lane] - static_cast<float>(scheme_.code.bias), out.zero.entries,
                      entry);
      }
    }
  }

 private:
  static std::size_t at(std::int64_t p, std::int64_t lane) { return static_cast<std::size_t>(p * kL + lane); }
  std::int64_t column(std::int64_t p) const { return h_.order[static_cast<std::size_t>(p)]; }
  std::span<const float> no_feedback() const {
    zeros_.resize(static_cast<std::size_t>(cols_), 0.0f);
    return zeros_;
  }

  void choose_grid(std::int64_t from, std::int64_t to, FeedbackGrid& grid) const {
    const bool asymmetric = scheme_.zero_kind == ZeroKind::kInteger;
    grid.low = 0;
    grid.high = static_cast<float>((1 << scheme_.code.bits) - 1);
    std::fill(std::begin(grid.zero), std::end(grid.zero), static_cast<float>(scheme_.code.bias));
    if (!options_.search_scales) {
      choose_by_range(from, to, grid);
      return;
    }
    const std::span<const float> reaches = trial_reaches();
    const auto search = asymmetric ? kernel_.search_asymmetric : kernel_.search_symmetric;
    search(view_.data(), h_.weight.data(), from, to, reaches.data(), static_cast<int>(reaches.size()), grid);
    for (float& scale : grid.scale) scale = stored_scale(scheme_.scale->element, scale);
  }

  void choose_by_range(std::int64_t from, std::int64_t to, FeedbackGrid& grid) const {
    const GroupQuantizer quantizer(scheme_, options_.range);
    const ElementType type = scheme_.scale->element;
    std::vector<float> values(static_cast<std::size_t>(to - from));
    for (std::int64_t lane = 0; lane < kL; ++lane) {
      for (std::int64_t p = from; p < to; ++p) values[static_cast<std::size_t>(p - from)] = view_[at(p, lane)];
      const GroupGrid chosen = quantizer.choose(values, [type](std::span<float> scales) {
        for (float& s : scales) s = stored_scale(type, s);
      });
      grid.scale[lane] = chosen.scale;
      grid.zero[lane] = static_cast<float>(scheme_.code.bias + chosen.zero);
    }
  }

  /// g = E H
  void update_gradient() {
    std::fill(g_.begin(), g_.end(), 0.0f);
    kernel_.accumulate(h_.h.data(), cols_, 0, cols_, e_.data(), 0, cols_, g_.data());
  }

  /// The best stored scale of a group for its codes, all else kept.
  void refit(std::int64_t from, std::int64_t to) {
    FeedbackGrid& grid = grids_[static_cast<std::size_t>(from / group_)];
    float slope[kL];
    float bend[kL];
    kernel_.scale_terms(h_.h.data(), cols_, from, to, grid, code_.data(), g_.data(), slope, bend);
    float change[kL];
    bool any = false;
    for (std::int64_t lane = 0; lane < kL; ++lane) {
      const float best = grid.scale[lane] + (bend[lane] > 0 ? slope[lane] / bend[lane] : 0.0f);
      // A scale that turns its sign or leaves its size has lost its codes' meaning.
      const bool usable =
          std::isfinite(best) && best * grid.scale[lane] > 0 && std::fabs(best) < 2 * std::fabs(grid.scale[lane]);
      const float stored = usable ? stored_scale(scheme_.scale->element, best) : grid.scale[lane];
      change[lane] = stored - grid.scale[lane];
      grid.scale[lane] = stored;
      any = any || change[lane] != 0;
    }
    if (!any) return;
    // t_ is free after the pass: it holds the changes of the errors.
    for (std::int64_t p = from; p < to; ++p)
      for (std::int64_t lane = 0; lane < kL; ++lane) {
        t_[at(p, lane)] = -change[lane] * (code_[at(p, lane)] - grid.zero[lane]);
        e_[at(p, lane)] += t_[at(p, lane)];
      }
    kernel_.accumulate(h_.h.data(), cols_, from, to, t_.data(), 0, cols_, g_.data());
  }

  static double inner_product(const std::vector<float>& a, const std::vector<float>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    return sum;
  }

  const FeedbackKernel& kernel_ = kernel::feedback_kernel();
  const SecondOrder& h_;
  const QuantScheme& scheme_;
  const GptqOptions& options_;
  std::int64_t cols_;
  std::int64_t group_;
  std::int64_t first_row_ = 0;
  std::int64_t lanes_ = 0;
  std::vector<FeedbackGrid> grids_;  ///< in the order of quantizing
  std::vector<float> w_;             ///< [cols, kL] like all that follow: the weights
  std::vector<float> t_;             ///< the weights with the errors of earlier columns
  std::vector<float> view_;          ///< the group at hand as its scale is to see it
  std::vector<float> code_;
  std::vector<float> e_;  ///< weight less its value
  std::vector<float> g_;  ///< e H
  mutable std::vector<float> zeros_;
};

}  // namespace

Status check_gptq_scheme(const QuantScheme& scheme) {
  NIBBLE_TRY_STATUS(scheme.validate());
  const auto refuse = [&](std::string_view why) {
    return fail(ErrorCode::kUnsupported,
                "gptq cannot make {}: {}; use integers in groups of columns such as int4-g32-sym or int3-channel-asym",
                to_string(scheme), why);
  };
  if (scheme.code.kind != CodeFormat::Kind::kInteger || scheme.code.bits < 2) return refuse("it needs integer codes");
  if (!scheme.scale || scheme.scale->nested || scheme.scale->divides || scheme.offset || scheme.post_scale != 1.0f ||
      scheme.zero_kind == ZeroKind::kReal)
    return refuse("it needs one plain scale and at most an integer zero point");
  const Grouping::Kind kind = scheme.scale->grouping.kind;
  if (kind != Grouping::Kind::kRow && kind != Grouping::Kind::kColumns)
    return refuse("its scales are not per row or group of columns");
  if (scheme.zero_kind == ZeroKind::kInteger && scheme.zero.grouping != scheme.scale->grouping)
    return refuse("scales and zero points have different groups");
  return {};
}

std::int64_t gptq_group(const QuantScheme& scheme) {
  return scheme.scale->grouping.kind == Grouping::Kind::kColumns ? scheme.scale->grouping.size : 0;
}

QuantizedMatrix quantize_gptq(std::span<float> weights, std::int64_t rows, const SecondOrder& h,
                              const QuantScheme& scheme, const GptqOptions& options, ThreadPool& pool,
                              GptqReport& report) {
  const std::int64_t cols = h.cols;
  NIBBLE_CHECK(static_cast<std::int64_t>(weights.size()) == rows * cols);
  for (std::int64_t r = 0; r < rows; ++r)
    report.non_finite +=
        make_finite(weights.subspan(static_cast<std::size_t>(r * cols), static_cast<std::size_t>(cols)));
  QuantizedMatrix out;
  out.allocate(scheme, rows, cols, 0, rows);
  const std::int64_t group = gptq_group(scheme) > 0 ? gptq_group(scheme) : cols;
  const auto tiles = static_cast<std::size_t>((rows + kL - 1) / kL);
  std::vector<double> errors(tiles);
  std::vector<double> norms(tiles);
  pool.run(tiles, 1, [&](std::size_t begin, std::size_t end, int) {
    RowTile tile(h, scheme, options, group);
    for (std::size_t n = begin; n < end; ++n) {
      tile.gather(weights, rows, static_cast<std::int64_t>(n) * kL);
      tile.quantize();
      tile.refine();
      tile.measure(errors[n], norms[n]);
      tile.scatter(out);
    }
  });
  double error = 0;
  double norm = 0;
  for (std::size_t n = 0; n < tiles; ++n) {
    error += errors[n];
    norm += norms[n];
  }
  report.error = norm > 0 ? error / norm : 0;
  return out;
}

}  // namespace nibble
