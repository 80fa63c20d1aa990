// A model's way through its blocks, one at a time, and then its head: what evaluation of models that do not fit in
// memory is made of.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "eval/lockstep.h"
#include "quant/calibration/block_runner.h"

namespace nibble {

constexpr std::int64_t kScoredTogether = 64;  ///< tokens whose logits score_windows() holds at once

class ModelStream {
 public:
  /// What is passed must outlive it.
  static Result<std::unique_ptr<ModelStream>> create(const ModelWeights& weights, const CalibrationTokens& tokens,
                                                     std::shared_ptr<ActivationStore> store, ThreadPool& pool);

  std::size_t slices() const { return runner_->slices(); }
  std::int64_t hidden_size() const { return weights_.config().hidden_size; }
  /// The input of the next block, or of the head.
  const StoredActivations& hidden() const { return hidden_; }
  /// Hands it over; the next block must be given its input.
  StoredActivations take_hidden() { return std::move(hidden_); }

  Status embed();
  /// Block number `layer` on `in`.
  Status run(int layer, const StoredActivations& in);
  /// Block number `layer` on what the one before it gave.
  Status advance(int layer);
  Status load_head();

  /// head() will be asked for rows of this slice.
  void begin_slice(std::size_t slice) { runner_->set_slice(slice); }
  /// The logits [count, vocabulary] of hidden states [count, hidden_size].
  Result<Value> head(const float* hidden, std::int64_t count);

 private:
  ModelStream(const ModelWeights& weights, std::unique_ptr<BlockRunner> runner, std::shared_ptr<ActivationStore> store);

  const ModelWeights& weights_;
  std::unique_ptr<BlockRunner> runner_;
  std::shared_ptr<ActivationStore> store_;
  StoredActivations hidden_;
};

/// What the head of a stream is applied to. Two may have one stream in common.
struct HeadInput {
  ModelStream& stream;  ///< its head is loaded
  const StoredActivations& hidden;
};

/// Scores all windows by both heads.
Status score_windows(const HeadInput& model, const HeadInput& original, const CalibrationTokens& tokens,
                     std::int64_t vocab, ThreadPool& pool, ScoreTally& tally);

}  // namespace nibble
