#include "quant/calibration/block_evaluation.h"

#include <chrono>

#include "base/check.h"
#include "quant/calibration/model_stream.h"

namespace nibble {

Result<Evaluation> evaluate_blocks(const ModelWeights& model, const ModelWeights& original,
                                   const CalibrationTokens& tokens, const ActivationStore::Options& store,
                                   const Progress& progress, ThreadPool& pool) {
  NIBBLE_CHECK(model.config().vocab_size == original.config().vocab_size && tokens.window > 1);
  const auto begin = std::chrono::steady_clock::now();
  const auto shared = std::make_shared<ActivationStore>(store);
  NIBBLE_TRY(const std::unique_ptr<ModelStream> stream, ModelStream::create(model, tokens, shared, pool));
  NIBBLE_TRY(const std::unique_ptr<ModelStream> base, ModelStream::create(original, tokens, shared, pool));
  NIBBLE_TRY_STATUS(stream->embed());
  NIBBLE_TRY_STATUS(base->embed());
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
  NIBBLE_TRY_STATUS(score_windows({*stream, stream->hidden()}, {*base, base->hidden()}, tokens,
                                  original.config().vocab_size, pool, tally));
  Evaluation out = tally.evaluation();
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return out;
}

}  // namespace nibble
