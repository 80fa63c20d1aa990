// One backward pass through a whole model, from the head to the embedding, blocks one at a time: the gradients of the
// log-likelihood of tokens that are drawn from the model's own distribution. Their squares are the Fisher information,
// which is the curvature of the model's KL divergence from itself. A block is run again on its stored inputs, forward
// and back, some windows at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "model/model_weights.h"
#include "quant/calibration/block_runner.h"
#include "tensor/quant_scheme.h"
#include "train/train_weights.h"

namespace nibble {

/// The first `window` tokens (or the whole) of windows that are spread evenly over the calibration tokens, `most`
/// tokens in all where there are as many.
CalibrationTokens spread_tokens(const CalibrationTokens& calibration, std::int64_t window, std::int64_t most);

/// The original's input of every block, then of the head, in a BlockRunner's slices.
Result<std::vector<StoredActivations>> block_inputs(const ModelWeights& weights, const CalibrationTokens& tokens,
                                                    const std::shared_ptr<ActivationStore>& store, ThreadPool& pool);

struct WalkTask {
  const ModelWeights& weights;
  const CalibrationTokens& tokens;
  const std::vector<StoredActivations>& hidden;  ///< of block_inputs()
  std::shared_ptr<ActivationStore> store;
  std::uint64_t seed = 0;  ///< of the tokens drawn
};

/// The same bits for any number of threads.
class BackwardWalk {
 public:
  /// What a linear sees on the way back: its input and the gradient by its output, [tokens of the batch, width] each.
  using AtLinear =
      std::function<Status(LinearId id, std::size_t batch, std::span<const float> x, std::span<const float> d_y)>;

  /// What is referred to must outlive it.
  static Result<std::unique_ptr<BackwardWalk>> create(const WalkTask& task, ThreadPool& pool);

  /// Parts that the tokens come in.
  std::size_t batches() const { return batches_; }
  /// Begins the walk. Gives the mean divergence that rounding the head in each scheme adds, to second order.
  Result<std::vector<double>> visit_head(const std::vector<QuantScheme>& schemes);
  /// Then every block, the last first.
  Status visit_block(int layer, const AtLinear& visit);
  /// The gradient by the input of what was visited last, batch by batch [tokens, hidden_size].
  const StoredActivations& gradient() const { return gradient_; }

 private:
  BackwardWalk(const WalkTask& task, TrainWeights weights, ThreadPool& pool);
  std::int64_t windows_of(std::size_t batch) const;
  Status read_hidden(const StoredActivations& from, std::size_t batch, std::vector<float>& out) const;
  Status load_block(int layer);
  Status normed_inputs(std::size_t first, std::size_t last, std::vector<float>& out);
  Status put_head_gradient(std::size_t first, std::size_t last, std::span<const float> gradient);

  WalkTask task_;
  TrainWeights weights_;
  ThreadPool& pool_;
  std::int64_t batch_windows_;
  std::size_t batches_;
  StoredActivations gradient_;
};

/// What a walk holds at most beside one block's packed matrices, for `tokens` tokens in windows of `window`.
std::uint64_t backward_walk_bytes(const ModelWeights& weights, std::int64_t tokens, std::int64_t window);

}  // namespace nibble
