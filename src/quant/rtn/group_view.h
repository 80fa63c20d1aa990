// Where the weights of each group of a grouping lie in a range of rows.
#pragma once

#include <algorithm>
#include <cstdint>

#include "tensor/quantized_matrix.h"

namespace nibble {

/// The weights of one scale group: a contiguous run, or gathered from a block and scattered back.
class GroupView {
 public:
  GroupView(const QuantizedMatrix& m, const Grouping& grouping) : m_(m), grouping_(grouping) {}

  std::int64_t groups() const { return entry_range(grouping_, m_.rows, m_.cols, m_.row_begin, m_.row_count).count; }

  /// The length of all groups where each is a run of one length and they follow each other from the first weight on,
  /// else 0.
  std::int64_t run_length() const {
    const std::int64_t weights = m_.row_count * m_.cols;
    std::int64_t length = 0;
    if (grouping_.kind == Grouping::Kind::kTensor) length = weights;
    if (grouping_.kind == Grouping::Kind::kRow) length = m_.cols;
    if (grouping_.kind == Grouping::Kind::kColumns && m_.cols % grouping_.size == 0) length = grouping_.size;
    if (grouping_.kind == Grouping::Kind::kFlat && weights % grouping_.size == 0) length = grouping_.size;
    return length * groups() == weights ? length : 0;
  }

  /// Calls run(offset, length) for each contiguous run of group `g` (counted from the first held) within the range's
  /// weights.
  template <typename F>
  void runs(std::int64_t g, F&& run) const {
    const std::int64_t cols = m_.cols;
    switch (grouping_.kind) {
      case Grouping::Kind::kTensor:
        return run(0, m_.row_count * cols);
      case Grouping::Kind::kRow:
        return run(g * cols, cols);
      case Grouping::Kind::kColumns: {
        const std::int64_t per_row = grouping_.entries_per_row(m_.rows, cols);
        const std::int64_t first = (g % per_row) * grouping_.size;
        return run(g / per_row * cols + first, std::min(grouping_.size, cols - first));
      }
      case Grouping::Kind::kFlat: {
        const std::int64_t first = g * grouping_.size;
        return run(first, std::min(grouping_.size, m_.row_count * cols - first));
      }
      case Grouping::Kind::kBlock: {
        const std::int64_t per_row = grouping_.entries_per_row(m_.rows, cols);
        const std::int64_t first_row = g / per_row * grouping_.rows;
        const std::int64_t first = (g % per_row) * grouping_.size;
        for (std::int64_t r = first_row; r < std::min(first_row + grouping_.rows, m_.row_count); ++r)
          run(r * cols + first, std::min(grouping_.size, cols - first));
        return;
      }
      case Grouping::Kind::kStrided:
      case Grouping::Kind::kIndexed:
        return;
    }
  }

 private:
  const QuantizedMatrix& m_;
  Grouping grouping_;
};

}  // namespace nibble
