// The scales that AWQ tries for the channels of an input (algorithms.md 5.2).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "quant/calibration/input_gram.h"
#include "quant/float_matrix.h"
#include "quant/fold/fold_points.h"

namespace nibble {

/// How large a channel is, 0 where nothing is known of it.
struct ChannelSizes {
  std::vector<double> input;   ///< mean magnitude over tokens
  std::vector<double> weight;  ///< mean over rows of |w| / the largest |w| of its group
};

/// Sizes per channel of the point; columns that share a channel are averaged. `group`: columns that share a scale.
ChannelSizes channel_sizes(const FoldPoint& point, const InputGram& gram, std::span<const FloatMatrix> matrices,
                           std::int64_t group, ThreadPool& pool);

/// All candidates, the first of them 1 everywhere: input^r for r in 1/20, ..., 1, and input^r / weight^(1 - r) for r in
/// 0, ..., 19/20 (AutoAWQ's duo scaling), each divided by the geometric mean of its extremes. Channels that no token
/// used or whose weights are all 0 have no size to go by: 1.
std::vector<std::vector<float>> candidate_scales(const ChannelSizes& sizes);

}  // namespace nibble
