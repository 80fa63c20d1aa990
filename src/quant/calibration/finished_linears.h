// What has become of a model's linears, recorded in the run's journal as soon as it is known.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <vector>

#include "model/model_layout.h"
#include "quant/calibration/block_stream.h"
#include "quant/float_matrix.h"
#include "quant/journal.h"
#include "quant/quadratic_form.h"

namespace nibble {

struct FinishedLinear {
  MatrixPtr matrix;  ///< with a journal in memory only while it is read
  /// |X (W - Q)^T|^2 / |X W^T|^2 on the calibration tokens; nothing where those say nothing of X.
  std::optional<double> error;
  /// The same when W is rounded to the nearest codes of the same scheme; nothing where rtn cannot make that.
  std::optional<double> rtn_error;
  double seconds = 0;
  std::vector<float> bias;  ///< in place of the model's own, rows in Hugging Face order; empty: that stays
};

/// Sets the errors of `quantized`, and of `weights` rounded to nearest in its scheme, nothing beside the codes.
void measure_errors(const FloatMatrix& weights, const QuantizedMatrix& quantized, const QuadraticForm& h,
                    FinishedLinear& linear, ThreadPool& pool);

class FinishedLinears {
 public:
  /// `journal` may be null: then everything stays in memory, and ends with the process.
  FinishedLinears(const ModelLayout& layout, Journal::Ptr journal) : layout_(layout), journal_(std::move(journal)) {}

  /// What the journal knows of `linears`, in memory as long as it is held: all of them, or nothing.
  std::optional<std::vector<MatrixPtr>> recorded(std::span<const LinearId> linears);
  /// Records what a linear has become, which is in memory as long as the result is held. `linear.matrix` is set here.
  Result<MatrixPtr> finish(LinearId id, QuantizedMatrix matrix, FinishedLinear linear);

  const std::map<LinearId, FinishedLinear>& all() const { return all_; }
  /// The bias that a finished linear has in place of its own; null: there is none.
  const std::vector<float>* bias(LinearId id) const;
  /// For what a method records besides; may be null.
  Journal* journal() const { return journal_.get(); }

 private:
  const ModelLayout& layout_;
  Journal::Ptr journal_;
  std::map<LinearId, FinishedLinear> all_;
};

}  // namespace nibble
