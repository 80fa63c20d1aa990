// Two streams of activations go through the model: the original's, whose outputs are the targets, and the quantized
// one's.
#include "quant/auto_round/auto_round_matrices.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "model/decoder.h"
#include "quant/auto_round/searched_rtn.h"
#include "quant/calibration/memory_plan.h"
#include "quant/calibration/window_reader.h"
#include "quant/recording_ops.h"

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

std::vector<LinearId> block_linears(const ModelLayout& layout, int layer) {
  std::vector<LinearId> out;
  for (std::size_t i = 0; i < layout.linears.size(); ++i)
    if (layout.linears[i].role == LinearInfo::Role::kBlock && layout.linears[i].layer == layer)
      out.push_back(static_cast<LinearId>(i));
  return out;
}

class AutoRoundRun {
 public:
  AutoRoundRun(const ModelWeights& weights, const CalibrationTokens& tokens, const LinearSchemes& schemes,
               const AutoRoundOptions& options, const StreamOptions& stream, FinishedLinears& finished,
               ThreadPool& pool)
      : source_(weights),
        tokens_(tokens),
        schemes_(schemes),
        options_(options),
        stream_(stream),
        finished_(finished),
        pool_(pool) {}

  Result<std::vector<AutoRoundBlock>> run() {
    NIBBLE_TRY(runner_, BlockRunner::create(source_, tokens_, pool_));
    NIBBLE_TRY(TrainWeights weights, TrainWeights::load(source_, tokens_.window));
    store_ = std::make_shared<ActivationStore>(stream_.store);
    StoredActivations original = new_activations();
    StoredActivations quantized = new_activations();
    NIBBLE_TRY_STATUS(runner_->embed(original));
    NIBBLE_TRY_STATUS(runner_->embed(quantized));
    for (int layer = 0; layer < static_cast<int>(source_.config().num_hidden_layers); ++layer) {
      StoredActivations targets = new_activations();
      NIBBLE_TRY_STATUS(runner_->set_original_matrices(layer));
      NIBBLE_TRY_STATUS(runner_->run(layer, original, targets));
      runner_->forget_matrices();
      original = std::move(targets);
      NIBBLE_TRY_STATUS(quantize_block(layer, weights, quantized, original));
      if (layer + 1 < source_.config().num_hidden_layers) {
        StoredActivations next = new_activations();
        NIBBLE_TRY_STATUS(runner_->run(layer, quantized, next));
        quantized = std::move(next);
      }
      runner_->forget_matrices();
    }
    NIBBLE_TRY_STATUS(source_.check_intact());
    return std::move(blocks_);
  }

 private:
  StoredActivations new_activations() const { return {store_, runner_->slices()}; }
  const LinearInfo& info(LinearId id) const { return source_.layout().linears[static_cast<std::size_t>(id)]; }

  /// Leaves the block's quantized matrices in the runner.
  Status quantize_block(int layer, TrainWeights& weights, const StoredActivations& inputs,
                        const StoredActivations& targets) {
    const std::vector<LinearId> linears = block_linears(source_.layout(), layer);
    AutoRoundBlock block{layer};
    if (const std::optional<std::vector<MatrixPtr>> known = finished_.recorded(linears)) {
      for (std::size_t i = 0; i < linears.size(); ++i) NIBBLE_TRY_STATUS(use(linears[i], *(*known)[i]));
      blocks_.push_back(block);
      return {};
    }
    const Clock::time_point begin = Clock::now();
    NIBBLE_TRY(TunedBlock tuned, tune(layer, linears, weights, inputs, targets));
    block.loss_before = tuned.loss_before;
    block.loss_after = tuned.loss_after;
    block.best_iteration = tuned.best_iteration;
    block.seconds = seconds_since(begin);
    std::int64_t all_weights = 0;
    for (const auto& [id, matrix] : tuned.matrices) {
      NIBBLE_TRY_STATUS(use(id, *make_source(matrix)));
      all_weights += matrix.rows * matrix.cols;
    }
    NIBBLE_TRY(const Grams grams, input_grams(layer, inputs));
    for (auto& [id, matrix] : tuned.matrices) {
      FinishedLinear linear;
      NIBBLE_TRY(const FloatMatrix original, finite_weights(source_, id, pool_));
      const InputGram& gram = *grams.at(id);
      measure_errors(original, matrix, QuadraticForm(gram, 0, gram.cols, gram_unit(gram)), linear, pool_);
      linear.seconds =
          block.seconds * static_cast<double>(matrix.rows * matrix.cols) / static_cast<double>(all_weights);
      NIBBLE_TRY_STATUS(finished_.finish(id, std::move(matrix), std::move(linear)));
    }
    blocks_.push_back(block);
    return {};
  }

  Status use(LinearId id, const MatrixSource& matrix) {
    NIBBLE_TRY_STATUS(runner_->set_matrix(id, matrix));
    matrix.release(0, matrix.rows());
    return {};
  }

  Result<TunedBlock> tune(int layer, const std::vector<LinearId>& linears, TrainWeights& weights,
                          const StoredActivations& inputs, const StoredActivations& targets) {
    for (const LinearId id : linears) {
      NIBBLE_TRY(FloatMatrix original, finite_weights(source_, id, pool_));
      warn_of_non_finite(original, info(id).name);
      weights.matrix(id) = {original.rows, original.cols, std::move(original.values)};
    }
    BlockTask task;
    task.run = [&](Ops& ops, const Value& x) {
      return decoder_block(ops, source_.config(), source_.layout(), layer, x);
    };
    task.linears = linears;
    task.window = tokens_.window;
    task.windows = static_cast<std::int64_t>(tokens_.ids.size()) / tokens_.window;
    task.width = source_.config().hidden_size;
    const std::int64_t per_slice = BlockRunner::slice_tokens(tokens_.window) / tokens_.window;
    task.inputs = WindowReader(inputs, per_slice, task.window * task.width);
    task.targets = WindowReader(targets, per_slice, task.window * task.width);
    const auto iterations = static_cast<std::uint64_t>(options_.iterations);
    const std::uint64_t all = iterations * static_cast<std::uint64_t>(source_.config().num_hidden_layers);
    task.progress = [&](int done) {
      return !stream_.progress ||
             stream_.progress("tuning",
                              static_cast<std::uint64_t>(layer) * iterations + static_cast<std::uint64_t>(done), all,
                              "iterations");
    };
    AutoRoundOptions options = options_;
    options.seed = options_.seed * 1000003 + static_cast<std::uint64_t>(layer);  // other batches for every block
    Result<TunedBlock> tuned = tune_block(task, weights, schemes_, options, pool_);
    weights.forget_matrices();
    return tuned;
  }

  /// Second moments of the inputs of a block's linears, the same object for those that share one.
  using Grams = std::map<LinearId, std::shared_ptr<InputGram>>;

  /// On at most kMeasuredSlices slices, with the quantized matrices that the runner holds.
  Result<Grams> input_grams(int layer, const StoredActivations& inputs) {
    constexpr std::size_t kMeasuredSlices = 4;
    Grams grams;
    const auto observe = [&](std::span<const LinearId> linears, std::span<const float> x, std::int64_t width) {
      std::shared_ptr<InputGram>& gram = grams[linears.front()];
      if (gram == nullptr) gram = std::make_shared<InputGram>(width);
      for (const LinearId id : linears) grams[id] = gram;
      gram->add(x, pool_);
    };
    const std::unique_ptr<Ops> recording = recording_ops(observe)(runner_->ops());
    const std::size_t count = std::min(kMeasuredSlices, runner_->slices());
    const std::int64_t width = source_.config().hidden_size;
    std::vector<float> numbers;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t slice = i * runner_->slices() / count;
      runner_->set_slice(slice);
      NIBBLE_TRY_STATUS(inputs.read(slice, numbers));
      const Value x = runner_->ops().value_of(numbers.data(), static_cast<std::int64_t>(numbers.size()) / width, width);
      decoder_block(*recording, source_.config(), source_.layout(), layer, x);
      NIBBLE_TRY_STATUS(runner_->ops().take_status());
    }
    return grams;
  }

  const ModelWeights& source_;
  const CalibrationTokens& tokens_;
  const LinearSchemes& schemes_;
  const AutoRoundOptions& options_;
  const StreamOptions& stream_;
  FinishedLinears& finished_;
  ThreadPool& pool_;
  std::unique_ptr<BlockRunner> runner_;
  std::shared_ptr<ActivationStore> store_;
  std::vector<AutoRoundBlock> blocks_;
};

}  // namespace

Result<std::vector<AutoRoundBlock>> auto_round_matrices(const ModelWeights& weights, const CalibrationTokens& tokens,
                                                        const LinearSchemes& schemes, const AutoRoundOptions& options,
                                                        StreamOptions stream, FinishedLinears& finished,
                                                        ThreadPool& pool) {
  for (const QuantScheme& scheme : schemes.of_blocks(weights.layout()))
    NIBBLE_TRY_STATUS(check_auto_round_scheme(scheme));
  if (options.iterations > 0) return AutoRoundRun(weights, tokens, schemes, options, stream, finished, pool).run();
  const QuantizeLinears quantize = [&](std::span<const LinearId> linears,
                                       const InputGram& gram) -> Result<std::vector<MatrixPtr>> {
    return search_linears(weights, linears, gram, schemes.of(linears), finished, pool);
  };
  stream.known = [&](std::span<const LinearId> linears) { return finished.recorded(linears); };
  NIBBLE_TRY_STATUS(stream_blocks(weights, tokens, quantize, stream, pool));
  return std::vector<AutoRoundBlock>();
}

std::uint64_t auto_round_bytes(const ModelWeights& weights, std::int64_t window, const AutoRoundOptions& options) {
  const ModelConfig& config = weights.config();
  // Weights, offsets, values and their gradients; the codes of the best iterate and those of a better one.
  const auto of_weights = 18 * static_cast<std::int64_t>(block_bytes(weights.layout()) / 4);
  // Values that are kept for the way back and gradients on it, then inputs, targets and the loss's gradient.
  const auto of_token = static_cast<std::int64_t>(train_bytes_of_token(config));
  // A slice of either stream that windows are read from, and the panels of kernel/gemm.
  const std::int64_t of_reading = 8 * config.hidden_size * BlockRunner::slice_tokens(window) + (std::int64_t{10} << 20);
  return static_cast<std::uint64_t>(of_weights + of_token * window * windows_at_once(options, window) + of_reading);
}

}  // namespace nibble
