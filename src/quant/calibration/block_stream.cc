#include "quant/calibration/block_stream.h"

#include <memory>

#include "base/check.h"
#include "base/process_memory.h"
#include "model/decoder.h"
#include "quant/calibration/paired_ops.h"
#include "quant/input_groups.h"

namespace nibble {
namespace {

/// What happens at a group of linears that share an input: `observe` adds all of it to the statistics.
class Stage {
 public:
  Stage(const ModelLayout& layout, const QuantizeLinears& quantize, const StreamOptions& options, BlockRunner& runner)
      : layout_(layout), quantize_(quantize), options_(options), runner_(runner) {}

  Status operator()(std::span<const LinearId> linears, const std::function<Status(InputGram&)>& observe) const {
    std::optional<std::vector<MatrixPtr>> matrices;
    if (options_.known) matrices = options_.known(linears);
    if (!matrices) {
      InputGram gram(layout_.linears[static_cast<std::size_t>(linears.front())].cols);
      NIBBLE_TRY_STATUS(observe(gram));
      NIBBLE_TRY(matrices, quantize_(linears, gram));
    }
    NIBBLE_CHECK(matrices->size() == linears.size());
    for (std::size_t i = 0; i < linears.size(); ++i) {
      const MatrixPtr matrix = std::move((*matrices)[i]);
      NIBBLE_TRY_STATUS(runner_.set_matrix(linears[i], *matrix));
      if (options_.bias)
        if (const std::vector<float>* bias = options_.bias(linears[i])) runner_.set_bias(linears[i], *bias);
      matrix->release(0, matrix->rows());  // packed now
    }
    return {};
  }

 private:
  const ModelLayout& layout_;
  const QuantizeLinears& quantize_;
  const StreamOptions& options_;
  BlockRunner& runner_;
};

/// The activations between two blocks.
class OneStream {
 public:
  OneStream(const ModelWeights& weights, BlockRunner& runner, const std::shared_ptr<ActivationStore>& store,
            const Stage& stage, ThreadPool& pool)
      : weights_(weights),
        runner_(runner),
        store_(store),
        stage_(stage),
        pool_(pool),
        hidden_(store, runner.slices()) {}

  Status embed() { return runner_.embed(hidden_); }

  Status pass(int layer) {
    StagedOps ops(runner_, weights_.layout(), store_,
                  [&](std::span<const LinearId> linears, const EachSlice& each_slice) {
                    return stage_(linears, [&](InputGram& gram) {
                      return each_slice([&](std::span<const float> x, std::int64_t) { gram.add(x, pool_); });
                    });
                  });
    const Value x = ops.given(std::move(hidden_), weights_.config().hidden_size);
    NIBBLE_TRY(hidden_, ops.take(decoder_block(ops, weights_.config(), weights_.layout(), layer, x)));
    return {};
  }

 private:
  const ModelWeights& weights_;
  BlockRunner& runner_;
  const std::shared_ptr<ActivationStore>& store_;
  const Stage& stage_;
  ThreadPool& pool_;
  StoredActivations hidden_;
};

/// The same, beside those of the original.
class TwoStreams {
 public:
  TwoStreams(const ModelWeights& weights, BlockRunner& quantized, BlockRunner& original,
             const std::shared_ptr<ActivationStore>& store, const Stage& stage, ThreadPool& pool)
      : weights_(weights),
        quantized_(quantized),
        original_(original),
        store_(store),
        stage_(stage),
        pool_(pool),
        hidden_{{store, quantized.slices()}, {store, original.slices()}} {}

  Status embed() {
    NIBBLE_TRY_STATUS(quantized_.embed(hidden_.quantized));
    return original_.embed(hidden_.original);
  }

  Status pass(int layer) {
    NIBBLE_TRY_STATUS(original_.set_original_matrices(layer));
    PairedOps ops(quantized_, original_, weights_.layout(), store_,
                  [&](std::span<const LinearId> linears, const EachPairOfSlices& each_pair) {
                    return stage_(linears, [&](InputGram& gram) {
                      return each_pair([&](std::span<const float> x, std::span<const float> original) {
                        gram.add(x, pool_);
                        gram.add_drift(original, x, pool_);
                      });
                    });
                  });
    const Value x = ops.given(std::move(hidden_), weights_.config().hidden_size);
    NIBBLE_TRY(hidden_, ops.take(decoder_block(ops, weights_.config(), weights_.layout(), layer, x)));
    original_.forget_matrices();
    return {};
  }

 private:
  const ModelWeights& weights_;
  BlockRunner& quantized_;
  BlockRunner& original_;
  const std::shared_ptr<ActivationStore>& store_;
  const Stage& stage_;
  ThreadPool& pool_;
  PairedOps::Streams hidden_;
};

/// The driver without a model that runs.
Status pass_saved(const ModelWeights& weights, const QuantizeLinears& quantize, const StreamOptions& options) {
  const std::vector<BlockLayout>& blocks = weights.layout().blocks;
  for (std::size_t layer = 0; layer < blocks.size(); ++layer) {
    for (const std::vector<LinearId>& linears : input_groups(blocks[layer])) {
      if (options.known && options.known(linears)) continue;
      NIBBLE_TRY(const InputGram gram, options.saved(linears));
      NIBBLE_TRY(const std::vector<MatrixPtr> matrices, quantize(linears, gram));
      for (const MatrixPtr& matrix : matrices) matrix->release(0, matrix->rows());
    }
    return_free_memory();
    NIBBLE_TRY_STATUS(report_blocks(options.progress, static_cast<std::int64_t>(layer) + 1,
                                    static_cast<std::int64_t>(blocks.size())));
  }
  return weights.check_intact();
}

template <typename Streams>
Status pass_blocks(Streams streams, const ModelWeights& weights, BlockRunner& runner, const Progress& progress) {
  NIBBLE_TRY_STATUS(streams.embed());
  const std::int64_t layers = weights.config().num_hidden_layers;
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    NIBBLE_TRY_STATUS(streams.pass(static_cast<int>(layer)));
    runner.forget_matrices();
    NIBBLE_TRY_STATUS(report_blocks(progress, layer + 1, layers));
  }
  return weights.check_intact();
}

}  // namespace

Status report_blocks(const Progress& progress, std::int64_t done, std::int64_t blocks) {
  if (!progress ||
      progress("quantizing", static_cast<std::uint64_t>(done), static_cast<std::uint64_t>(blocks), "blocks"))
    return {};
  return fail(ErrorCode::kCancelled, "quantizing was stopped; with --resume it goes on from here");
}

Status stream_blocks(const ModelWeights& weights, const CalibrationTokens& tokens, const QuantizeLinears& quantize,
                     const StreamOptions& options, ThreadPool& pool) {
  if (options.saved) {
    NIBBLE_CHECK(!options.drift);
    return pass_saved(weights, quantize, options);
  }
  NIBBLE_TRY(const std::unique_ptr<BlockRunner> runner, BlockRunner::create(weights, tokens, pool));
  const auto store = std::make_shared<ActivationStore>(options.store);
  const Stage stage(weights.layout(), quantize, options, *runner);
  if (!options.drift)
    return pass_blocks(OneStream(weights, *runner, store, stage, pool), weights, *runner, options.progress);
  NIBBLE_TRY(const std::unique_ptr<BlockRunner> original, BlockRunner::create(weights, tokens, pool));
  return pass_blocks(TwoStreams(weights, *runner, *original, store, stage, pool), weights, *runner, options.progress);
}

}  // namespace nibble
