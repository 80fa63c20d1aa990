// e H e^T, the error that e adds to a linear's outputs, for sixteen rows at a time. H is symmetric: each product of two
// columns is taken once.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernel/error_feedback/error_feedback.h"
#include "quant/calibration/input_gram.h"

namespace nibble {

/// What makes the mean diagonal of a gram 1; 0 where its sums are of no use (NaN, infinite, or all inputs 0).
double gram_unit(const InputGram& gram);

class QuadraticForm {
 public:
  QuadraticForm() = default;
  /// Columns [from, to) of the gram, times `unit` (0: H is 0 whatever the sums are); what stands at column j is
  /// multiplied by factors[j] when e is (factors empty: 1).
  QuadraticForm(const InputGram& gram, std::int64_t from, std::int64_t to, double unit,
                std::span<const float> factors = {});

  std::int64_t cols() const { return cols_; }
  /// The unit was 0: nothing is known of the inputs.
  bool is_unknown() const { return is_unknown_; }

  /// out[lane] = e H e^T for e [cols][kFeedbackLanes]. The same bits on every instruction set.
  void evaluate(const float* e, double* out) const;

 private:
  std::int64_t cols_ = 0;
  bool is_unknown_ = true;
  std::vector<float> panels_;  ///< panel p: rows [0, its last column), kPanel wide; twice H above its own square
};

}  // namespace nibble
