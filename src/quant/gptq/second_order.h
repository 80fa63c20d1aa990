// What second-order methods know of a linear's input, H = X^T X, made ready for quantizing against it: damped, its
// columns in the order in which they are quantized, and factored (algorithms.md 4.1, 4.3, 4.4).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "quant/calibration/input_gram.h"

namespace nibble {

/// In which order columns are quantized. Groups stay whole, so that no file needs a g_idx.
enum class ColumnOrder {
  kAsStored,
  kBySize,      ///< the largest diagonal first, whatever the groups: for grids that are chosen before
  kGroupAware,  ///< the largest diagonal first: groups by their largest, columns within their group (GPTQModel's GAR)
};

struct SecondOrderOptions {
  double damping = 0.01;  ///< of the mean diagonal, added to the diagonal; raised tenfold while the factor fails
  ColumnOrder order = ColumnOrder::kGroupAware;
  std::int64_t group = 0;  ///< columns that stay together; 0: all
  std::int64_t run = 0;    ///< columns that stay together within their group; 0: all of it
  double shrinkage = 0.0;  ///< of each column's own diagonal, added to it: correlations count for less
};

/// What keeps error feedback from fitting the calibration text's own correlations: the fewer tokens there are for each
/// column, the more shrinkage. 10 * cols / tokens, at most 1 (docs/methods.md has what it is worth). More damping
/// instead does harm: the mean diagonal is that of a few large columns, and the others would lose all correlation.
double shrinkage_for(std::int64_t cols, std::int64_t tokens);

/// Everything is in the order of quantizing: position p is column order[p].
struct SecondOrder {
  std::int64_t cols = 0;
  std::vector<std::int32_t> order;
  std::vector<float> h;          ///< [cols, cols], symmetric, damped, divided by the mean diagonal
  std::vector<float> u;          ///< [cols, cols], unit upper: H = U D U^T; 0 below the diagonal
  std::vector<float> d;          ///< the diagonal of D
  std::vector<float> curvature;  ///< 1 / h[p, p]
  std::vector<float> weight;     ///< h[p, p]: the importance of a column
  double mean_diagonal = 1;      ///< what h was divided by
  std::int64_t dead = 0;         ///< columns that were 0 in all inputs: quantized without feedback
  double damping = 0;            ///< what was needed, of the mean diagonal
  bool known = true;             ///< false: the inputs were of no use, and h is the identity
  std::string note;              ///< what went differently than asked; empty: nothing
};

/// Never fails: where no damping helps (NaN in the inputs), H is taken as the identity, and `note` says so.
SecondOrder prepare_second_order(const InputGram& gram, const SecondOrderOptions& options, ThreadPool& pool);

}  // namespace nibble
