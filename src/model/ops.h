// Ops: the operations an architecture is written in, once. Executors implement it: the CPU engine (run), the recording
// one (quant) and the differentiating one (train); an architecture never knows which one it runs on.
//
// A Value is a handle on one row per token of a ragged batch of sequences; never a raw buffer, never changed in place.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "model/model_config.h"

namespace nibble {

/// What an executor keeps behind a handle.
class OpsValue {
 public:
  virtual ~OpsValue() = default;
  std::int64_t width = 0;  ///< numbers per token
};
using Value = std::shared_ptr<OpsValue>;

/// Numbers of linears and vectors in ModelLayout: how an architecture names its weights to an executor.
using LinearId = int;
using VectorId = int;
constexpr int kNoWeight = -1;

/// Causal attention of one layer against the sequence's cache.
struct AttentionSpec {
  int layer = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  float scale = 1.0f;
  std::int64_t window = 0;  ///< 0: all earlier keys; W: only the last W, the query's own included
  float softcap = 0.0f;     ///< 0: none; c: scores become c * tanh(score / c)
};

class Ops {
 public:
  virtual ~Ops() = default;

  /// The embedding rows of the batch's tokens, times `scale`.
  virtual Value embed(LinearId table, float scale) = 0;
  /// x * W^T + bias for matrices that share the input x; results in the same order.
  virtual std::vector<Value> linear_group(const Value& x, std::span<const LinearId> linears) = 0;
  /// RMSNorm over each run of weight-length numbers: the whole row, or per head when the weight is head_dim long.
  /// plus_one: multiplies by 1 + weight (Gemma).
  virtual Value rms_norm(const Value& x, VectorId weight, float eps, bool plus_one) = 0;
  /// Rotary position embedding, pairs (i, i + rotary_dim / 2), by the config's rope number `rope`.
  virtual Value rope(const Value& x, std::int64_t head_dim, int rope) = 0;
  /// Stores k and v of the batch's tokens in the layer's cache and attends; heads concatenated in order.
  virtual Value attention(const Value& q, const Value& k, const Value& v, const AttentionSpec& spec) = 0;
  /// act(gate) * up
  virtual Value gated_activation(Activation activation, const Value& gate, const Value& up) = 0;
  virtual Value add(const Value& a, const Value& b) = 0;
  /// Only the rows whose logits the caller of the executor asked for.
  virtual Value output_rows(const Value& x) = 0;
  /// c * tanh(x / c)
  virtual Value softcap(const Value& x, float c) = 0;

  Value linear(const Value& x, LinearId id) { return linear_group(x, std::span(&id, 1)).front(); }
};

}  // namespace nibble
