// What a transform makes of the small vectors of a model: norms and biases that a writer stores instead of the
// checkpoint's. Matrices come as matrices.
#pragma once

#include <map>
#include <vector>

#include "model/model_weights.h"

namespace nibble {

struct ModelChanges {
  std::map<VectorId, std::vector<float>> vectors;  ///< as Hugging Face stores them
  std::map<LinearId, std::vector<float>> biases;   ///< rows in Hugging Face order

  /// The changed vector, or the model's own.
  Result<std::vector<float>> vector(const ModelWeights& weights, VectorId id) const {
    const auto found = vectors.find(id);
    if (found == vectors.end()) return weights.vector(id);
    return found->second;
  }
  /// The changed bias, or the model's own.
  Result<std::vector<float>> bias(const ModelWeights& weights, LinearId id) const {
    const auto found = biases.find(id);
    if (found == biases.end()) return weights.bias(id);
    return found->second;
  }
};

}  // namespace nibble
