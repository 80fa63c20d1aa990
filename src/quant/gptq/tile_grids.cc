#include "quant/gptq/tile_grids.h"

#include <algorithm>
#include <cmath>

#include "quant/gptq/row_codebooks.h"
#include "quant/rtn/group_grid.h"
#include "quant/stored_scale.h"

namespace nibble {
namespace {

using kernel::FeedbackGrid;

constexpr std::int64_t kL = kernel::kFeedbackLanes;

/// How far the range is divided in trials: below 1 leaves room, above 1 clips. Scales of both signs take turns.
struct Reaches {
  std::vector<float> positive;
  std::vector<float> both;

  Reaches(int count, float first, float step) {
    for (int i = 0; i < count; ++i) {
      positive.push_back(first + step * static_cast<float>(i));
      both.push_back(positive.back());
      both.push_back(-positive.back());
    }
  }
  static const Reaches& of(int table_entries) {
    static const Reaches usual(25, 0.80f, 0.04f);
    static const Reaches fine(6, 0.90f, 0.05f);  // many levels: the range hardly matters, and looking one up is slow
    return table_entries > 32 ? fine : usual;
  }
};

std::unique_ptr<TilePlane> plane_of(PlaneRole role, const PlaneFormat& format, QuantizedMatrix& out) {
  return is_chosen_before(format.grouping, out.cols) ? make_fixed_plane(role, out) : make_tile_plane(role, out);
}

std::vector<ColumnRun> runs_of(std::int64_t cols, std::int64_t run) {
  std::vector<ColumnRun> out;
  for (std::int64_t from = 0; from < cols; from += run) out.push_back({from, std::min(cols, from + run)});
  return out;
}

}  // namespace

TileGrids::TileGrids(const SecondOrder& h, const GptqOptions& options, QuantizedMatrix& out)
    : h_(h), options_(options), out_(out), levels_(out) {
  const QuantScheme& scheme = out.scheme;
  const GridShape shape = grid_shape(scheme, out.cols);
  runs_ = runs_of(out.cols, shape.run);
  runs_per_unit_ = shape.unit / shape.run;
  grids_.resize(runs_.size());
  scratch_.resize(static_cast<std::size_t>(shape.run * kL));
  if (scheme.scale) scale_ = plane_of(PlaneRole::kScale, *scheme.scale, out);
  if (scheme.zero_kind != ZeroKind::kNone) second_ = plane_of(PlaneRole::kZero, scheme.zero, out);
  if (scheme.offset) second_ = plane_of(PlaneRole::kOffset, *scheme.offset, out);
  whole_zero_ = scheme.zero_kind == ZeroKind::kInteger;
  real_zero_ = scheme.zero_kind == ZeroKind::kReal;
  for (FeedbackGrid& grid : grids_) {
    grid.low = static_cast<float>(-scheme.code.bias);
    const bool ternary = scheme.code == CodeFormat::integer(2, 1);
    grid.high = grid.low + (ternary ? 2.0f : static_cast<float>((1 << std::min<int>(scheme.code.bits, 8)) - 1));
    std::fill(std::begin(grid.scale), std::end(grid.scale), 1.0f);
  }
}

void TileGrids::begin(std::int64_t first_row, std::int64_t lanes, const float* w) {
  first_row_ = first_row;
  lanes_ = lanes;
  if (scale_ != nullptr) scale_->begin(first_row, lanes);
  if (second_ != nullptr) second_->begin(first_row, lanes);
  if (levels_.are_of_rows()) fit_row_codebooks(h_, runs_, scale_ != nullptr, w, options_.codebook_rounds, levels_);
}

/// The grid as least squares wants it; what its planes can hold comes later.
void TileGrids::search(std::int64_t run, const float* view, FeedbackGrid& grid) const {
  const auto [from, to] = runs_[static_cast<std::size_t>(run)];
  const Reaches& reaches = Reaches::of(levels_.entries());
  const auto count = static_cast<int>(reaches.positive.size());
  const float* weight = h_.weight.data();
  std::fill(std::begin(grid.zero), std::end(grid.zero), 0.0f);
  if (!scale_moves()) return;
  if (!options_.search_scales) {
    search_range(run, view, grid);
  } else if (whole_zero_) {
    kernel_.search_zero(view, weight, from, to, reaches.positive.data(), count, grid);
  } else if (second_ != nullptr) {
    // The offsets of ggml's nested planes are minima: codes from 0 under a negative outer scale.
    kernel_.search_offset(view, weight, from, to, reaches.positive.data(), count, !second_->has_both_signs(), grid);
  } else {
    const bool both = scale_->has_both_signs() && out_.scheme.code.kind != CodeFormat::Kind::kFloat;
    kernel_.search_scale(view, weight, from, to, both ? reaches.both.data() : reaches.positive.data(),
                         both ? 2 * count : count, grid);
  }
}

/// By the rules of round-to-nearest, as GPTQ's own code does.
void TileGrids::search_range(std::int64_t run, const float* view, FeedbackGrid& grid) const {
  const auto [from, to] = runs_[static_cast<std::size_t>(run)];
  const GroupQuantizer quantizer(out_.scheme, options_.range);
  const ElementType type = out_.scheme.scale->element;
  std::vector<float> values(static_cast<std::size_t>(to - from));
  for (std::int64_t lane = 0; lane < kL; ++lane) {
    for (std::int64_t p = from; p < to; ++p) values[static_cast<std::size_t>(p - from)] = view[p * kL + lane];
    const GroupGrid chosen = quantizer.choose(values, [type](std::span<float> scales) { store_scales(type, scales); });
    grid.scale[lane] = chosen.scale;
    grid.zero[lane] = static_cast<float>(chosen.zero);
  }
}

/// Sets the offset, or the zero point that has its effect under the lane's scale, to what the plane can hold.
void TileGrids::set_second(std::int64_t lane, std::int64_t column, float offset, int number, FeedbackGrid& grid) const {
  const float scale = grid.scale[lane];
  if (real_zero_) {
    grid.zero[lane] = second_->candidate(lane, column, -offset / scale, number);
    grid.offset[lane] = 0;
  } else {
    grid.offset[lane] = second_->candidate(lane, column, offset, number);
  }
}

/// Candidate number `scale` of the scale with number `second` of the other plane.
FeedbackGrid TileGrids::candidate(std::int64_t run, const FeedbackGrid& wanted, int scale, int second) const {
  const std::int64_t first = column(runs_[static_cast<std::size_t>(run)].from);
  FeedbackGrid out = wanted;
  const float centre = 0.5f * (wanted.low + wanted.high);
  for (std::int64_t lane = 0; lane < kL; ++lane) {
    float from = wanted.scale[lane];
    if (real_zero_ && from == 0) from = wanted.offset[lane] == 0 ? 1.0f : std::fabs(wanted.offset[lane]);
    if (scale_ != nullptr) out.scale[lane] = scale_->candidate(lane, first, from, scale);
    if (second_ == nullptr || (whole_zero_ && !second_->is_fixed())) continue;
    if (whole_zero_) {
      out.zero[lane] = second_->candidate(lane, first, 0.0f, 0);
    } else {
      set_second(lane, first, wanted.offset[lane] + (wanted.scale[lane] - out.scale[lane]) * centre, second, out);
    }
  }
  return out;
}

/// Of the grids around the wanted one that the planes can hold, in each row the one that leaves the least error after
/// feedback within the run. (Other scales where planes are fine were tried the same way: nearer to the layer's output
/// by 1 %, and no nearer to the model's.)
void TileGrids::choose(std::int64_t run, const float* view) {
  const auto [from, to] = runs_[static_cast<std::size_t>(run)];
  FeedbackGrid wanted = grids_[static_cast<std::size_t>(run)];
  levels_.attach(column(from), wanted);
  search(run, view, wanted);
  FeedbackGrid best = candidate(run, wanted, 0, 0);
  const int seconds = second_ == nullptr ? 1 : second_->candidates();
  const int count = seconds * (scale_ == nullptr ? 1 : scale_->candidates());
  Lanes least;
  for (int n = 0; n < count && count > 1 && options_.feedback; ++n) {
    const FeedbackGrid next = candidate(run, wanted, n / seconds, n % seconds);
    Lanes error;
    kernel_.trial(h_.u.data(), h_.cols, h_.d.data(), from, to, next, view, scratch_.data(), error.data());
    for (std::size_t lane = 0; lane < kL; ++lane) {
      if (n > 0 && !(error[lane] < least[lane])) continue;
      least[lane] = error[lane];
      best.scale[lane] = next.scale[lane];
      best.zero[lane] = next.zero[lane];
      best.offset[lane] = next.offset[lane];
    }
  }
  grids_[static_cast<std::size_t>(run)] = best;
}

void TileGrids::choose_outer(std::int64_t first, std::int64_t last, const float* view) {
  std::vector<std::int64_t> columns;
  std::vector<Lanes> scales, offsets, scale_weights, offset_weights;
  for (std::int64_t run = first; run < last; ++run) {
    const auto [from, to] = runs_[static_cast<std::size_t>(run)];
    FeedbackGrid wanted = grids_[static_cast<std::size_t>(run)];
    levels_.attach(column(from), wanted);
    search(run, view, wanted);
    columns.push_back(column(from));
    Lanes scale_weight{}, offset_weight{}, scale{}, offset{};
    for (std::size_t lane = 0; lane < kL; ++lane) {
      scale[lane] = wanted.scale[lane];
      offset[lane] = wanted.offset[lane];
      for (std::int64_t p = from; p < to; ++p) {
        const float w = h_.weight[static_cast<std::size_t>(p)];
        const float x = view[p * kL + static_cast<std::int64_t>(lane)] - offset[lane];
        offset_weight[lane] += w;
        scale_weight[lane] += w * x * x;
      }
      // The weight of an error in the scale: the squares of the levels.
      if (scale[lane] != 0) scale_weight[lane] /= scale[lane] * scale[lane];
    }
    scales.push_back(scale);
    offsets.push_back(offset);
    scale_weights.push_back(scale_weight);
    offset_weights.push_back(offset_weight);
  }
  if (scale_->outer_columns() > 0) scale_->choose_outer(columns, scales, scale_weights);
  if (second_ != nullptr && second_->outer_columns() > 0) second_->choose_outer(columns, offsets, offset_weights);
}

FeedbackGrid TileGrids::changed(std::int64_t run, const Lanes& scale, const Lanes& offset) const {
  const std::int64_t first = column(runs_[static_cast<std::size_t>(run)].from);
  const FeedbackGrid& grid = grids_[static_cast<std::size_t>(run)];
  FeedbackGrid out = grid;
  const float centre = 0.5f * (grid.low + grid.high);
  for (std::int64_t lane = 0; lane < kL; ++lane) {
    const auto l = static_cast<std::size_t>(lane);
    const float old = grid.scale[lane];
    const float wanted = old + scale[l];
    // A scale that turns its sign or leaves its size has lost its levels' meaning.
    if (!std::isfinite(wanted) || !(wanted * old > 0) || std::fabs(wanted) > 2 * std::fabs(old)) continue;
    if (scale_moves()) out.scale[lane] = scale_->candidate(lane, first, wanted, 0);
    if (!offset_moves()) continue;
    const float at = real_zero_ ? -old * grid.zero[lane] : grid.offset[lane];
    set_second(lane, first, at + offset[l] + (wanted - out.scale[lane]) * centre, 0, out);
  }
  return out;
}

void TileGrids::store(const float* level) {
  for (std::int64_t run = 0; run < static_cast<std::int64_t>(runs_.size()); ++run) {
    const auto [from, to] = runs_[static_cast<std::size_t>(run)];
    const FeedbackGrid& grid = grids_[static_cast<std::size_t>(run)];
    for (std::int64_t lane = 0; lane < lanes_; ++lane) {
      std::uint8_t* row = out_.codes.data() + (first_row_ + lane) * out_.cols;
      for (std::int64_t p = from; p < to; ++p) {
        const float x = level[p * kL + lane];
        row[column(p)] = levels_.empty() ? static_cast<std::uint8_t>(std::nearbyint(x + grid.zero[lane] - grid.low))
                                         : levels_.code(column(p), lane, x);
      }
      if (scale_ != nullptr) scale_->keep(lane, column(from), grid.scale[lane]);
      if (second_ != nullptr)
        second_->keep(lane, column(from), out_.scheme.offset ? grid.offset[lane] : grid.zero[lane]);
    }
  }
  levels_.store(first_row_, lanes_);
}

}  // namespace nibble
