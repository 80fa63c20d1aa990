#include "quant/calibration/model_stream.h"

#include <algorithm>
#include <utility>

#include "model/decoder.h"

namespace nibble {
namespace {

/// The hidden states of a slice before a head.
struct SliceInput {
  ModelStream& stream;  ///< has begun the slice
  const std::vector<float>& hidden;
};

/// Scores all windows of a slice.
Status score_slice(const SliceInput& model, const SliceInput& original, std::span<const std::int32_t> ids,
                   std::int64_t window, std::int64_t vocab, ThreadPool& pool, ScoreTally& tally) {
  std::vector<PositionScore> scores(ids.size());
  const auto rows = static_cast<std::int64_t>(ids.size());
  const std::int64_t width = static_cast<std::int64_t>(model.hidden.size()) / rows;
  for (std::int64_t first = 0; first < rows; first += kScoredTogether) {
    const std::int64_t count = std::min(kScoredTogether, rows - first);
    NIBBLE_TRY(const Value logits, model.stream.head(model.hidden.data() + first * width, count));
    NIBBLE_TRY(const Value base, original.stream.head(original.hidden.data() + first * width, count));
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

ModelStream::ModelStream(const ModelWeights& weights, std::unique_ptr<BlockRunner> runner,
                         std::shared_ptr<ActivationStore> store)
    : weights_(weights), runner_(std::move(runner)), store_(std::move(store)), hidden_(store_, runner_->slices()) {}

Result<std::unique_ptr<ModelStream>> ModelStream::create(const ModelWeights& weights, const CalibrationTokens& tokens,
                                                         std::shared_ptr<ActivationStore> store, ThreadPool& pool) {
  NIBBLE_TRY(std::unique_ptr<BlockRunner> runner, BlockRunner::create(weights, tokens, pool));
  return std::unique_ptr<ModelStream>(new ModelStream(weights, std::move(runner), std::move(store)));
}

Status ModelStream::embed() {
  StoredActivations next(store_, runner_->slices());
  NIBBLE_TRY_STATUS(runner_->embed(next));
  hidden_ = std::move(next);
  return {};
}

Status ModelStream::run(int layer, const StoredActivations& in) {
  NIBBLE_TRY_STATUS(runner_->set_original_matrices(layer));
  StoredActivations next(store_, runner_->slices());
  NIBBLE_TRY_STATUS(runner_->run(layer, in, next));
  hidden_ = std::move(next);
  runner_->forget_matrices();
  return weights_.check_intact();
}

Status ModelStream::advance(int layer) { return run(layer, hidden_); }

Status ModelStream::load_head() {
  NIBBLE_TRY(const MatrixPtr head, weights_.matrix(weights_.layout().head));
  NIBBLE_TRY_STATUS(runner_->set_matrix(weights_.layout().head, *head));
  head->release(0, head->rows());
  return weights_.check_intact();
}

Result<Value> ModelStream::head(const float* hidden, std::int64_t count) {
  const Value x = runner_->ops().value_of(hidden, count, weights_.config().hidden_size);
  runner_->choose_output_rows(count);
  const Value logits = decoder_head(runner_->ops(), weights_.config(), weights_.layout(), x);
  NIBBLE_TRY_STATUS(runner_->ops().take_status());
  return logits;
}

Status score_windows(const HeadInput& model, const HeadInput& original, const CalibrationTokens& tokens,
                     std::int64_t vocab, ThreadPool& pool, ScoreTally& tally) {
  std::size_t at = 0;
  std::vector<float> hidden;
  std::vector<float> base;
  for (std::size_t slice = 0; slice < model.stream.slices(); ++slice) {
    model.stream.begin_slice(slice);
    original.stream.begin_slice(slice);
    NIBBLE_TRY_STATUS(model.hidden.read(slice, hidden));
    NIBBLE_TRY_STATUS(original.hidden.read(slice, base));
    const std::size_t rows = hidden.size() / static_cast<std::size_t>(model.stream.hidden_size());
    NIBBLE_TRY_STATUS(score_slice({model.stream, hidden}, {original.stream, base},
                                  std::span(tokens.ids).subspan(at, rows), tokens.window, vocab, pool, tally));
    at += rows;
  }
  return {};
}

}  // namespace nibble
