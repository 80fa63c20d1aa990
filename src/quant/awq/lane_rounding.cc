#include "quant/awq/lane_rounding.h"

#include <algorithm>
#include <cmath>

#include "quant/stored_scale.h"

namespace nibble {
namespace {

constexpr std::int64_t kL = kernel::kFeedbackLanes;

}  // namespace

LaneRange lane_range(const float* w, std::int64_t from, std::int64_t to) {
  LaneRange range;
  for (std::int64_t j = from; j < to; ++j)
    for (std::int64_t lane = 0; lane < kL; ++lane) {
      const float x = w[j * kL + lane];
      range.low[lane] = x < range.low[lane] ? x : range.low[lane];
      range.high[lane] = x > range.high[lane] ? x : range.high[lane];
    }
  return range;
}

kernel::FeedbackGrid lane_grid(const QuantScheme& scheme, const LaneRange& range, bool other_sign) {
  const bool asymmetric = scheme.zero_kind == ZeroKind::kInteger;
  const auto levels = static_cast<float>(1 << scheme.code.bits);
  kernel::FeedbackGrid grid;
  grid.low = 0;
  grid.high = levels - 1;
  for (std::int64_t lane = 0; lane < kL; ++lane) {
    const float below = -range.low[lane];
    const float above = range.high[lane];
    const float sign = (below >= above) != other_sign ? 1.0f : -1.0f;
    float scale = asymmetric ? (above + below) / (levels - 1) : sign * std::max(below, above) / (levels / 2);
    if (scale == 0.0f) scale = 1.0f;
    scale = stored_scale(scheme.scale->element, scale);
    const float zero = asymmetric ? std::clamp(std::nearbyint(below / scale), 0.0f, levels - 1) : 0.0f;
    grid.scale[lane] = scale;
    grid.zero[lane] = static_cast<float>(scheme.code.bias) + zero;
  }
  return grid;
}

void round_lanes(const kernel::FeedbackGrid& grid, std::int64_t from, std::int64_t to, std::vector<float>& w,
                 std::vector<float>& level, std::vector<float>& error) {
  static const kernel::FeedbackKernel& kernel = kernel::feedback_kernel();
  // One column at a time, so that no error is fed to another.
  for (std::int64_t j = from; j < to; ++j)
    kernel.quantize(nullptr, 0, j, j + 1, grid, w.data(), w.data(), level.data(), error.data());
}

void scatter_group(const LaneTile& tile, const kernel::FeedbackGrid& grid, const std::vector<float>& level,
                   std::int64_t group, std::int64_t from, std::int64_t to, QuantizedMatrix& out) {
  const std::int64_t groups = out.scheme.scale->grouping.entries_per_row(out.rows, out.cols);
  for (std::int64_t lane = 0; lane < tile.lanes; ++lane) {
    const std::int64_t row = tile.first_row + lane;
    for (std::int64_t c = from; c < to; ++c)
      out.codes[static_cast<std::size_t>(row * out.cols + c)] =
          static_cast<std::uint8_t>(level[static_cast<std::size_t>(c * kL + lane)] + grid.zero[lane]);
    store_entry(out.scheme.scale->element, grid.scale[lane], out.scale.entries, row * groups + group);
    if (out.scheme.zero_kind == ZeroKind::kInteger)
      store_entry(ElementType::kI16, grid.zero[lane] - static_cast<float>(out.scheme.code.bias), out.zero.entries,
                  row * groups + group);
  }
}

}  // namespace nibble
