#include "quant/lane_tile.h"

#include <algorithm>

namespace nibble {

void LaneTile::gather(std::span<const float> matrix, std::int64_t rows, std::int64_t cols, std::int64_t tile) {
  constexpr std::int64_t kL = kernel::kFeedbackLanes;
  first_row = tile * kL;
  lanes = std::min(kL, rows - first_row);
  values.assign(static_cast<std::size_t>(cols * kL), 0.0f);
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    const float* row = matrix.data() + (first_row + lane) * cols;
    for (std::int64_t c = 0; c < cols; ++c) values[static_cast<std::size_t>(c * kL + lane)] = row[c];
  }
}

}  // namespace nibble
