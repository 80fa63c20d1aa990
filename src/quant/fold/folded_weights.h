// A model whose channels were scaled: the same function as the model it is made from, in other numbers. What AWQ leaves
// of a model before it is quantized; any quantizer can run on it.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "quant/fold/fold_points.h"
#include "quant/fold/model_changes.h"

namespace nibble {

class FoldedWeights final : public ModelWeights {
 public:
  /// `weights` must outlive it. Nothing is scaled yet.
  explicit FoldedWeights(const ModelWeights& weights) : weights_(weights) {}

  /// The scales nearest to `scales` (one per channel of the point, positive) that fold() can apply exactly: a norm or
  /// bias divided by one has a value that bfloat16 holds, so that storing it rounds nothing. 1 where there is none
  /// near.
  Result<std::vector<float>> settled(const FoldPoint& point, std::vector<float> scales) const;

  /// Multiplies the point's linears by the settled scales and divides what gives them their input.
  Status fold(const FoldPoint& point, std::span<const float> scales);

  /// What was multiplied into each column of a linear and divided out of each row; empty: nothing.
  std::span<const float> column_factors(LinearId id) const { return factors_of(columns_, id); }
  std::span<const float> row_divisors(LinearId id) const { return factors_of(rows_, id); }

  const ModelChanges& changes() const { return changes_; }

  const ModelConfig& config() const override { return weights_.config(); }
  const ModelLayout& layout() const override { return weights_.layout(); }
  std::string path() const override { return weights_.path(); }
  /// Scaled matrices are float32.
  Result<MatrixPtr> matrix(LinearId id) const override;
  Result<std::vector<float>> bias(LinearId id) const override { return changes_.bias(weights_, id); }
  Result<std::vector<float>> vector(VectorId id) const override { return changes_.vector(weights_, id); }
  Status check_intact() const override { return weights_.check_intact(); }

 private:
  using Factors = std::map<LinearId, std::vector<float>>;
  static std::span<const float> factors_of(const Factors& factors, LinearId id) {
    const auto found = factors.find(id);
    return found == factors.end() ? std::span<const float>{} : std::span<const float>(found->second);
  }

  const ModelWeights& weights_;
  ModelChanges changes_;
  Factors columns_;
  Factors rows_;
};

}  // namespace nibble
