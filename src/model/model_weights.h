// ModelWeights: what an executor loads. A checkpoint on disk (ModelFiles), or weights made in memory.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/model_layout.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

class ModelWeights {
 public:
  using Ptr = std::shared_ptr<const ModelWeights>;
  virtual ~ModelWeights() = default;

  virtual const ModelConfig& config() const = 0;
  virtual const ModelLayout& layout() const = 0;
  /// Where they come from, for messages.
  virtual std::string path() const = 0;
  /// The matrix of a linear, rows in Hugging Face order.
  virtual Result<MatrixPtr> matrix(LinearId id) const = 0;
  /// Its bias in the same order; empty when it has none.
  virtual Result<std::vector<float>> bias(LinearId id) const = 0;
  /// A norm's weight as Hugging Face stores it.
  virtual Result<std::vector<float>> vector(VectorId id) const = 0;
  /// Fails when what the matrices read from was damaged meanwhile.
  virtual Status check_intact() const { return {}; }
  /// Mapped pages of the source leave memory: nothing is read for now.
  virtual void release() const {}

  /// Number of weights, all linears and vectors together (a tied head counts once).
  std::int64_t parameters() const;
};

}  // namespace nibble
