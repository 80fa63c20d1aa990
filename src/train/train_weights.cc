#include "train/train_weights.h"

#include <utility>

namespace nibble {

Result<TrainWeights> TrainWeights::load(const ModelWeights& weights, std::int64_t positions) {
  TrainWeights out;
  out.config_ = weights.config();
  const ModelLayout& layout = weights.layout();
  out.matrices_.resize(layout.linears.size());
  for (std::size_t i = 0; i < layout.linears.size(); ++i) {
    NIBBLE_TRY(std::vector<float> bias, weights.bias(static_cast<LinearId>(i)));
    out.biases_.push_back(std::move(bias));
  }
  for (std::size_t i = 0; i < layout.vectors.size(); ++i) {
    NIBBLE_TRY(std::vector<float> values, weights.vector(static_cast<VectorId>(i)));
    out.vectors_.push_back(std::move(values));
  }
  for (const kernel::RopeConfig& rope : out.config_.ropes)
    out.ropes_.push_back(std::make_unique<kernel::RopeTable>(kernel::rope_frequencies(rope, positions), positions));
  return out;
}

void TrainWeights::forget_matrices() {
  for (DenseMatrix& matrix : matrices_) matrix = DenseMatrix();
}

}  // namespace nibble
