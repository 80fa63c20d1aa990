#include "quant/calibration/block_evaluation.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "eval/lockstep.h"
#include "model/decoder.h"

namespace nibble {
namespace {

constexpr std::int64_t kHeadRows = 64;  ///< tokens whose logits are held at once

/// One model's way through the blocks.
class Stream {
 public:
  static Result<std::unique_ptr<Stream>> create(const ModelWeights& weights, const CalibrationTokens& tokens,
                                                std::shared_ptr<ActivationStore> store, ThreadPool& pool) {
    NIBBLE_TRY(std::unique_ptr<BlockRunner> runner, BlockRunner::create(weights, tokens, pool));
    StoredActivations hidden(store, runner->slices());
    NIBBLE_TRY_STATUS(runner->embed(hidden));
    return std::unique_ptr<Stream>(new Stream(weights, std::move(runner), std::move(store), std::move(hidden)));
  }

  std::size_t slices() const { return runner_->slices(); }
  Status advance(int layer) {
    NIBBLE_TRY_STATUS(runner_->set_original_matrices(layer));
    StoredActivations next(store_, runner_->slices());
    NIBBLE_TRY_STATUS(runner_->run(layer, hidden_, next));
    hidden_ = std::move(next);
    runner_->forget_matrices();
    return weights_.check_intact();
  }
  Status load_head() {
    NIBBLE_TRY(const MatrixPtr head, weights_.matrix(weights_.layout().head));
    NIBBLE_TRY_STATUS(runner_->set_matrix(weights_.layout().head, *head));
    head->release(0, head->rows());
    return weights_.check_intact();
  }
  /// Makes rows of a slice those whose logits head() gives.
  Status begin_slice(std::size_t slice) {
    runner_->set_slice(slice);
    return hidden_.read(slice, numbers_);
  }
  std::int64_t rows() const { return static_cast<std::int64_t>(numbers_.size()) / width(); }
  Result<Value> head(std::int64_t first, std::int64_t count) {
    const Value x = runner_->ops().value_of(numbers_.data() + first * width(), count, width());
    runner_->choose_output_rows(count);
    const Value logits = decoder_head(runner_->ops(), weights_.config(), weights_.layout(), x);
    NIBBLE_TRY_STATUS(runner_->ops().take_status());
    return logits;
  }

 private:
  Stream(const ModelWeights& weights, std::unique_ptr<BlockRunner> runner, std::shared_ptr<ActivationStore> store,
         StoredActivations hidden)
      : weights_(weights), runner_(std::move(runner)), store_(std::move(store)), hidden_(std::move(hidden)) {}
  std::int64_t width() const { return weights_.config().hidden_size; }

  const ModelWeights& weights_;
  std::unique_ptr<BlockRunner> runner_;
  std::shared_ptr<ActivationStore> store_;
  StoredActivations hidden_;
  std::vector<float> numbers_;
};

/// Scores all windows of a slice.
Status score_slice(Stream& model, Stream& original, std::span<const std::int32_t> ids, std::int64_t window,
                   std::int64_t vocab, ThreadPool& pool, ScoreTally& tally) {
  std::vector<PositionScore> scores(ids.size());
  const std::int64_t rows = model.rows();
  for (std::int64_t first = 0; first < rows; first += kHeadRows) {
    const std::int64_t count = std::min(kHeadRows, rows - first);
    NIBBLE_TRY(const Value logits, model.head(first, count));
    NIBBLE_TRY(const Value base, original.head(first, count));
    pool.run(static_cast<std::size_t>(count), 1, [&](std::size_t begin, std::size_t end, int) {
      for (std::size_t r = begin; r < end; ++r) {
        const std::size_t at = static_cast<std::size_t>(first) + r;
        if ((at + 1) % static_cast<std::size_t>(window) == 0)
          continue;  // a window's last token predicts none of its own
        scores[at] = score_position(cpu_values(logits).data() + static_cast<std::int64_t>(r) * vocab,
                                    cpu_values(base).data() + static_cast<std::int64_t>(r) * vocab, vocab, ids[at + 1]);
      }
    });
  }
  for (std::size_t at = 0; at < ids.size(); at += static_cast<std::size_t>(window))
    tally.add(std::span(scores).subspan(at, static_cast<std::size_t>(window) - 1));
  return {};
}

}  // namespace

Result<Evaluation> evaluate_blocks(const ModelWeights& model, const ModelWeights& original,
                                   const CalibrationTokens& tokens, const ActivationStore::Options& store,
                                   const Progress& progress, ThreadPool& pool) {
  NIBBLE_CHECK(model.config().vocab_size == original.config().vocab_size && tokens.window > 1);
  const auto begin = std::chrono::steady_clock::now();
  const auto shared = std::make_shared<ActivationStore>(store);
  NIBBLE_TRY(const std::unique_ptr<Stream> stream, Stream::create(model, tokens, shared, pool));
  NIBBLE_TRY(const std::unique_ptr<Stream> base, Stream::create(original, tokens, shared, pool));
  const std::int64_t layers = original.config().num_hidden_layers;
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    NIBBLE_TRY_STATUS(stream->advance(static_cast<int>(layer)));
    NIBBLE_TRY_STATUS(base->advance(static_cast<int>(layer)));
    if (progress &&
        !progress("evaluating", static_cast<std::uint64_t>(layer + 1), static_cast<std::uint64_t>(layers), "blocks"))
      return fail(ErrorCode::kCancelled, "the evaluation was stopped");
  }
  NIBBLE_TRY_STATUS(stream->load_head());
  NIBBLE_TRY_STATUS(base->load_head());
  ScoreTally tally(true);
  std::size_t at = 0;
  for (std::size_t slice = 0; slice < stream->slices(); ++slice) {
    NIBBLE_TRY_STATUS(stream->begin_slice(slice));
    NIBBLE_TRY_STATUS(base->begin_slice(slice));
    const auto rows = static_cast<std::size_t>(stream->rows());
    NIBBLE_TRY_STATUS(score_slice(*stream, *base, std::span(tokens.ids).subspan(at, rows), tokens.window,
                                  original.config().vocab_size, pool, tally));
    at += rows;
  }
  Evaluation out = tally.evaluation();
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return out;
}

}  // namespace nibble
