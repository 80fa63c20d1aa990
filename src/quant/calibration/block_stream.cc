#include "quant/calibration/block_stream.h"

#include <memory>

#include "base/check.h"
#include "model/decoder.h"
#include "quant/calibration/staged_ops.h"

namespace nibble {
namespace {

/// What happens at a group of linears that share an input.
class Stage {
 public:
  Stage(const ModelLayout& layout, const QuantizeLinears& quantize, const StreamOptions& options, BlockRunner& runner,
        ThreadPool& pool)
      : layout_(layout), quantize_(quantize), options_(options), runner_(runner), pool_(pool) {}

  Status operator()(std::span<const LinearId> linears, const EachSlice& each_slice) const {
    std::optional<std::vector<MatrixPtr>> matrices;
    if (options_.known) matrices = options_.known(linears);
    if (!matrices) {
      NIBBLE_TRY(matrices, quantized(linears, each_slice));
    }
    NIBBLE_CHECK(matrices->size() == linears.size());
    for (std::size_t i = 0; i < linears.size(); ++i) {
      const MatrixSource& matrix = *(*matrices)[i];
      NIBBLE_TRY_STATUS(runner_.set_matrix(linears[i], matrix));
      matrix.release(0, matrix.rows());  // packed now
    }
    return {};
  }

 private:
  Result<std::vector<MatrixPtr>> quantized(std::span<const LinearId> linears, const EachSlice& each_slice) const {
    InputGram gram(layout_.linears[static_cast<std::size_t>(linears.front())].cols);
    NIBBLE_TRY_STATUS(each_slice([&](std::span<const float> x, std::int64_t) { gram.add(x, pool_); }));
    return quantize_(linears, gram);
  }

  const ModelLayout& layout_;
  const QuantizeLinears& quantize_;
  const StreamOptions& options_;
  BlockRunner& runner_;
  ThreadPool& pool_;
};

}  // namespace

Status stream_blocks(const ModelWeights& weights, const CalibrationTokens& tokens, const QuantizeLinears& quantize,
                     const StreamOptions& options, ThreadPool& pool) {
  NIBBLE_TRY(const std::unique_ptr<BlockRunner> runner, BlockRunner::create(weights, tokens, pool));
  const auto store = std::make_shared<ActivationStore>(options.store);
  const Stage stage(weights.layout(), quantize, options, *runner, pool);
  StoredActivations hidden(store, runner->slices());
  NIBBLE_TRY_STATUS(runner->embed(hidden));
  const std::int64_t layers = weights.config().num_hidden_layers;
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    StagedOps staged(*runner, weights.layout(), store, stage);
    const Value x = staged.given(std::move(hidden), weights.config().hidden_size);
    const Value y = decoder_block(staged, weights.config(), weights.layout(), static_cast<int>(layer), x);
    NIBBLE_TRY(hidden, staged.take(y));
    runner->forget_matrices();
    if (options.progress && !options.progress("quantizing", static_cast<std::uint64_t>(layer + 1),
                                              static_cast<std::uint64_t>(layers), "blocks"))
      return fail(ErrorCode::kCancelled, "quantizing was stopped; with --resume it goes on from here");
  }
  return weights.check_intact();
}

}  // namespace nibble
