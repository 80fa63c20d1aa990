// The numbers of a model as the differentiating executor reads them: matrices dense in float32, a block's at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernel/rope/rope.h"
#include "model/model_weights.h"

namespace nibble {

/// [rows, cols] float32, row-major; empty: not here.
struct DenseMatrix {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<float> values;
};

class TrainWeights {
 public:
  /// Vectors, biases and rotations for positions below `positions`. Matrices are set when they are needed.
  static Result<TrainWeights> load(const ModelWeights& weights, std::int64_t positions);

  const ModelConfig& config() const { return config_; }
  /// What was set; its values may be changed between a backward pass and the next forward pass.
  DenseMatrix& matrix(LinearId id) { return matrices_[static_cast<std::size_t>(id)]; }
  const DenseMatrix& matrix(LinearId id) const { return matrices_[static_cast<std::size_t>(id)]; }
  std::vector<float>& bias(LinearId id) { return biases_[static_cast<std::size_t>(id)]; }
  /// Empty when the linear has none.
  const std::vector<float>& bias(LinearId id) const { return biases_[static_cast<std::size_t>(id)]; }
  std::vector<float>& vector(VectorId id) { return vectors_[static_cast<std::size_t>(id)]; }
  const std::vector<float>& vector(VectorId id) const { return vectors_[static_cast<std::size_t>(id)]; }
  const kernel::RopeTable& rope(int id) const { return *ropes_[static_cast<std::size_t>(id)]; }

  /// Frees all matrices.
  void forget_matrices();

 private:
  TrainWeights() = default;

  ModelConfig config_;
  std::vector<DenseMatrix> matrices_;
  std::vector<std::vector<float>> biases_;
  std::vector<std::vector<float>> vectors_;
  std::vector<std::unique_ptr<kernel::RopeTable>> ropes_;
};

}  // namespace nibble
