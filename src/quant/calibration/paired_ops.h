// Ops over two streams of activations at once: the model with its quantized linears, and the original one. Wherever
// linears share an input, both are there for the same tokens.
#pragma once

#include "quant/calibration/staged_ops.h"

namespace nibble {

/// Called as LinearStage is; `original` is what the original model gives for the tokens of `x`.
using EachPairOfSlices =
    std::function<Status(const std::function<void(std::span<const float> x, std::span<const float> original)>&)>;
using PairedStage = std::function<Status(std::span<const LinearId> linears, const EachPairOfSlices& each_pair)>;

class PairedOps final : public Ops {
 public:
  /// `original` computes with the original linears of the block. All must outlive it.
  PairedOps(BlockRunner& quantized, BlockRunner& original, const ModelLayout& layout,
            const std::shared_ptr<ActivationStore>& store, PairedStage stage);

  struct Streams {
    StoredActivations quantized;
    StoredActivations original;
  };
  Value given(Streams slices, std::int64_t width);
  /// All slices of a value, computed. The value is of no use afterwards.
  Result<Streams> take(const Value& value);

  Value embed(LinearId table, float scale) override;
  std::vector<Value> linear_group(const Value& x, std::span<const LinearId> linears) override;
  Value rms_norm(const Value& x, VectorId weight, float eps, bool plus_one) override;
  Value rope(const Value& x, std::int64_t head_dim, int rope) override;
  Value attention(const Value& q, const Value& k, const Value& v, const AttentionSpec& spec) override;
  Value gated_activation(Activation activation, const Value& gate, const Value& up) override;
  Value add(const Value& a, const Value& b) override;
  Value output_rows(const Value& x) override;
  Value softcap(const Value& x, float c) override;

 private:
  struct Pair;
  static const Pair& pair(const Value& value);
  static Value make(Value quantized, Value original);

  PairedStage stage_;
  Value original_input_;  ///< of the linears whose stage is running
  StagedOps original_;
  StagedOps quantized_;
};

}  // namespace nibble
