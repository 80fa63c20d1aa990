// Where the channels of a decoder block can be scaled without changing the model: the linears that share an input are
// multiplied by s, column by column, and what gives them that input is divided by s (algorithms.md 5.3).
#pragma once

#include <cstdint>
#include <vector>

#include "model/model_layout.h"

namespace nibble {

struct FoldPoint {
  std::vector<LinearId> linears;  ///< share an input
  VectorId norm = kNoWeight;      ///< gives it, and is divided by s; or
  LinearId previous = kNoWeight;  ///< this linear's rows and bias are
  std::int64_t channels = 0;      ///< scales that can be chosen
  std::int64_t head_dim = 1;      ///< with grouped-query attention, heads_per_channel heads in a row are fed by one
  std::int64_t heads_per_channel = 1;  ///< head of `previous`, and share its scales

  /// The scale that a column of the linears has.
  std::int64_t channel(std::int64_t column) const {
    return column / head_dim / heads_per_channel * head_dim + column % head_dim;
  }
};

/// In the order in which the block multiplies: q, k, v by the input norm; o by v; gate, up by the norm before them;
/// down by up (the gate's activation does not see s).
std::vector<FoldPoint> fold_points(const ModelConfig& config, const BlockLayout& block);

}  // namespace nibble
