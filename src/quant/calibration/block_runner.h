// The blocks of a model, one at a time, in float32, over windows of tokens that are cut into slices: a slice is what is
// computed at once. Holds the matrices of one block, and the norms and biases of all.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "model/model_weights.h"
#include "quant/calibration/activation_store.h"
#include "run/cpu_ops.h"

namespace nibble {

struct CalibrationTokens {
  std::vector<std::int32_t> ids;  ///< windows back to back
  std::int64_t window = 0;
};

class BlockRunner {
 public:
  /// Reads norms and biases. What is passed must outlive it.
  static Result<std::unique_ptr<BlockRunner>> create(const ModelWeights& weights, const CalibrationTokens& tokens,
                                                     ThreadPool& pool);
  ~BlockRunner();

  /// Tokens of a slice.
  static std::int64_t slice_tokens(std::int64_t window);
  std::size_t slices() const { return slices_; }
  /// Computes the current slice.
  CpuOps& ops() { return *ops_; }
  /// Makes a slice the batch of the operations.
  void set_slice(std::size_t slice);
  /// The first `count` rows of what follows are those whose logits are wanted.
  void choose_output_rows(std::int64_t count);

  /// What a linear is multiplied by from now on.
  Status set_matrix(LinearId id, const MatrixSource& source);
  /// What it adds from now on.
  void set_bias(LinearId id, std::vector<float> bias);
  /// All linears of a block as the model has them, those that are set already left as they are.
  Status set_original_matrices(int layer);
  void forget_matrices();  ///< what a block took goes back to the system

  /// out = the embeddings of all tokens, slice by slice [tokens, hidden_size].
  Status embed(StoredActivations& out);
  /// out = block number `layer`, with the matrices that are set, of `in`.
  Status run(int layer, const StoredActivations& in, StoredActivations& out);

 private:
  class Weights;
  BlockRunner(const ModelWeights& weights, const CalibrationTokens& tokens, ThreadPool& pool);

  const ModelWeights& source_;
  const CalibrationTokens& tokens_;
  ThreadPool& pool_;
  std::shared_ptr<KvCache> cache_;
  std::int64_t windows_per_slice_;
  std::int64_t windows_;
  std::size_t slices_;
  std::unique_ptr<Weights> weights_;
  CpuBatch batch_;
  std::vector<std::unique_ptr<Sequence>> sequences_;  ///< of a slice's windows, used by each slice in turn
  std::unique_ptr<CpuOps> ops_;
};

}  // namespace nibble
