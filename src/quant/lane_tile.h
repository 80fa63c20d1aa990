// Sixteen rows of a matrix with a row per lane, [columns][kFeedbackLanes]: what the kernels of quantization work on.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernel/error_feedback/error_feedback.h"

namespace nibble {

/// Rows [first_row, first_row + kFeedbackLanes) of a matrix, or the fewer that are left: the other lanes hold zeros.
struct LaneTile {
  std::int64_t first_row = 0;
  std::int64_t lanes = 0;
  std::vector<float> values;

  static std::int64_t count(std::int64_t rows) { return (rows + kernel::kFeedbackLanes - 1) / kernel::kFeedbackLanes; }
  /// Tile number `tile` of a matrix [rows, cols].
  void gather(std::span<const float> matrix, std::int64_t rows, std::int64_t cols, std::int64_t tile);
};

}  // namespace nibble
