// A linear's weights on an integer grid that can be tuned: an offset to every weight before rounding, and how far each
// group's range reaches to either side (AutoRound; algorithms.md 7.1 to 7.3).
#pragma once

#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// value = scale * (code - zero), code = clamp(round(weight / scale + offset) + zero, 0, top)
///
/// A group's range is [reach_low * min(0, w), reach_high * max(0, w)]. Asymmetric: the scale is its width over the
/// number of steps, the zero point is rounded. Symmetric: the side of larger magnitude falls on the lowest code, so
/// that the scale may be negative. Scales are rounded to their stored type before anything is divided by them. At
/// first, with offsets 0 and reaches 1, that is round-to-nearest with the full range.
class RoundedMatrix {
 public:
  /// weights [rows, cols], finite; a scheme that check_auto_round_scheme() accepts.
  RoundedMatrix(std::vector<float> weights, std::int64_t rows, std::int64_t cols, const QuantScheme& scheme);

  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return cols_; }

  /// out [rows, cols] = the values.
  void values(float* out, ThreadPool& pool) const;
  QuantizedMatrix quantized(ThreadPool& pool) const;

  /// From the gradient of a loss by a row's values, that by its parameters; rounding counts as the identity. `offsets`
  /// [cols]; `reach_high`, `reach_low` [groups of a row].
  struct RowGradient {
    std::vector<float> offsets;
    std::vector<float> reach_high;
    std::vector<float> reach_low;
  };
  void row_gradient(std::int64_t row, const float* d_values, RowGradient& out) const;

  /// Moves every parameter by its rate against the sign of its gradient. Offsets stay within +-1/2, so that no weight
  /// leaves the two codes around it; reaches stay within [0, 1].
  void step(const float* d_values, float offset_rate, float reach_rate, ThreadPool& pool);

 private:
  struct Grid {
    float scale;
    float zero;     ///< the code that stands for 0
    bool low_side;  ///< symmetric: the range's low end decides the scale
  };
  struct Group {
    std::int64_t entry;  ///< number of its scale
    std::int64_t first;  ///< weight
    std::int64_t size;
  };
  Group group(std::int64_t row, std::int64_t number) const;
  Grid grid(std::int64_t entry) const;
  template <typename Body>
  void for_groups(ThreadPool& pool, Body&& body) const;

  QuantScheme scheme_;
  std::int64_t rows_;
  std::int64_t cols_;
  std::int64_t group_;
  std::int64_t groups_;  ///< of a row
  bool symmetric_;
  float top_;
  std::vector<float> weights_;
  std::vector<float> offsets_;
  std::vector<float> low_;  ///< min(0, w), [rows, groups] like those that follow
  std::vector<float> high_;
  std::vector<float> reach_low_;
  std::vector<float> reach_high_;
};

}  // namespace nibble
