// Round-to-nearest for sixteen rows at a time, a row per lane: arrays are [columns][kFeedbackLanes]. The grids and
// codes are those of quant/rtn with its full range.
#pragma once

#include <cstdint>
#include <vector>

#include "quant/lane_tile.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// The weights of a group, 0 included.
struct LaneRange {
  float low[kernel::kFeedbackLanes] = {};
  float high[kernel::kFeedbackLanes] = {};
};
LaneRange lane_range(const float* w, std::int64_t from, std::int64_t to);

/// The grid that round-to-nearest gives groups with these extremes, its scale rounded as it is stored.
/// `other_sign` (symmetric schemes): the extreme of the other sign gets the code that has no counterpart.
kernel::FeedbackGrid lane_grid(const QuantScheme& scheme, const LaneRange& range, bool other_sign = false);

/// level = the nearest levels (code - zero) of w, error = w less their values, for columns [from, to).
void round_lanes(const kernel::FeedbackGrid& grid, std::int64_t from, std::int64_t to, std::vector<float>& w,
                 std::vector<float>& level, std::vector<float>& error);

/// Writes a group's grid and the codes of its levels, columns [from, to) being group number `group` of the tile's rows.
void scatter_group(const LaneTile& tile, const kernel::FeedbackGrid& grid, const std::vector<float>& level,
                   std::int64_t group, std::int64_t from, std::int64_t to, QuantizedMatrix& out);

}  // namespace nibble
