#include "quant/awq/clipping.h"

#include <algorithm>
#include <cmath>

#include "quant/awq/lane_rounding.h"
#include "quant/integer_groups.h"

namespace nibble {
namespace {

constexpr std::int64_t kL = kernel::kFeedbackLanes;
constexpr int kSteps = 10;  ///< 1, 0.95, ... 0.55 of a range

float part(int step) { return 1.0f - 0.05f * static_cast<float>(step); }

/// The grids of one group of a tile's rows.
class GroupClipping {
 public:
  GroupClipping(const QuantScheme& scheme, std::int64_t cols) : scheme_(scheme) {
    level_.resize(static_cast<std::size_t>(cols * kL));
    error_.resize(level_.size());
  }

  /// Leaves the levels of columns [from, to) in level(). `h`: of these columns; null: the whole range.
  kernel::FeedbackGrid choose(std::vector<float>& w, std::int64_t from, std::int64_t to, const QuadraticForm* h) {
    const LaneRange whole = lane_range(w.data(), from, to);
    best_ = lane_grid(scheme_, whole);
    if (h != nullptr) {
      std::fill(std::begin(least_), std::end(least_), HUGE_VAL);
      std::fill(std::begin(low_), std::end(low_), 1.0f);
      std::fill(std::begin(high_), std::end(high_), 1.0f);
      if (scheme_.zero_kind == ZeroKind::kInteger)
        try_ends(whole, w, from, to, *h);
      else
        try_signs(whole, w, from, to, *h);
    }
    round_lanes(best_, from, to, w, level_, error_);
    return best_;
  }
  const std::vector<float>& level() const { return level_; }

 private:
  struct Parts {
    float low[kL];
    float high[kL];
  };

  void try_signs(const LaneRange& whole, std::vector<float>& w, std::int64_t from, std::int64_t to,
                 const QuadraticForm& h) {
    for (const bool other_sign : {false, true})
      for (int i = 0; i < kSteps; ++i) {
        Parts parts;
        std::fill(std::begin(parts.low), std::end(parts.low), part(i));
        std::fill(std::begin(parts.high), std::end(parts.high), part(i));
        attempt(whole, parts, other_sign, w, from, to, h);
      }
  }

  void try_ends(const LaneRange& whole, std::vector<float>& w, std::int64_t from, std::int64_t to,
                const QuadraticForm& h) {
    for (int i = 0; i < kSteps; ++i) {
      Parts parts;
      std::fill(std::begin(parts.low), std::end(parts.low), part(i));
      std::fill(std::begin(parts.high), std::end(parts.high), part(i));
      attempt(whole, parts, false, w, from, to, h);
    }
    for (const bool high : {true, false}) {
      Parts parts;
      std::copy_n(low_, kL, parts.low);
      std::copy_n(high_, kL, parts.high);
      for (int i = 0; i < kSteps; ++i) {
        std::fill_n(high ? parts.high : parts.low, kL, part(i));
        attempt(whole, parts, false, w, from, to, h);
      }
    }
  }

  /// Keeps the grid of these parts of the range in the lanes where it is better.
  void attempt(const LaneRange& whole, const Parts& parts, bool other_sign, std::vector<float>& w, std::int64_t from,
               std::int64_t to, const QuadraticForm& h) {
    LaneRange range;
    for (std::int64_t lane = 0; lane < kL; ++lane) {
      range.low[lane] = whole.low[lane] * parts.low[lane];
      range.high[lane] = whole.high[lane] * parts.high[lane];
    }
    const kernel::FeedbackGrid grid = lane_grid(scheme_, range, other_sign);
    round_lanes(grid, from, to, w, level_, error_);
    double losses[kL];
    h.evaluate(error_.data() + from * kL, losses);
    for (std::int64_t lane = 0; lane < kL; ++lane) {
      if (!(losses[lane] < least_[lane])) continue;
      least_[lane] = losses[lane];
      best_.scale[lane] = grid.scale[lane];
      best_.zero[lane] = grid.zero[lane];
      low_[lane] = parts.low[lane];
      high_[lane] = parts.high[lane];
    }
  }

  const QuantScheme& scheme_;
  std::vector<float> level_;
  std::vector<float> error_;
  kernel::FeedbackGrid best_;
  double least_[kL] = {};
  float low_[kL] = {};  ///< the parts that gave the least
  float high_[kL] = {};
};

}  // namespace

QuantizedMatrix quantize_clipped(const FloatMatrix& weights, const QuantScheme& scheme,
                                 std::span<const QuadraticForm> groups, ThreadPool& pool) {
  QuantizedMatrix out;
  out.allocate(scheme, weights.rows, weights.cols, 0, weights.rows);
  const std::int64_t group = group_columns(scheme, weights.cols);
  pool.run(static_cast<std::size_t>(LaneTile::count(weights.rows)), 1, [&](std::size_t begin, std::size_t end, int) {
    GroupClipping clipping(scheme, weights.cols);
    LaneTile tile;
    for (std::size_t n = begin; n < end; ++n) {
      tile.gather(weights.values, weights.rows, weights.cols, static_cast<std::int64_t>(n));
      for (std::int64_t g = 0; g * group < weights.cols; ++g) {
        const std::int64_t from = g * group;
        const std::int64_t to = std::min(weights.cols, from + group);
        const QuadraticForm* h = groups.empty() ? nullptr : &groups[static_cast<std::size_t>(g)];
        const kernel::FeedbackGrid grid = clipping.choose(tile.values, from, to, h);
        scatter_group(tile, grid, clipping.level(), g, from, to, out);
      }
    }
  });
  return out;
}

std::vector<QuadraticForm> group_forms(const InputGram& gram, std::int64_t group, double unit,
                                       std::span<const float> column_factors) {
  std::vector<float> inverse(column_factors.begin(), column_factors.end());
  for (float& factor : inverse) factor = 1.0f / factor;
  std::vector<QuadraticForm> out;
  for (std::int64_t from = 0; from < gram.cols; from += group)
    out.emplace_back(gram, from, std::min(gram.cols, from + group), unit, inverse);
  return out;
}

}  // namespace nibble
