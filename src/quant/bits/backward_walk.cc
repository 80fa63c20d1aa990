#include "quant/bits/backward_walk.h"

#include <algorithm>
#include <utility>

#include "base/process_memory.h"
#include "model/decoder.h"
#include "quant/bits/head_sensitivity.h"
#include "quant/bits/rounding_errors.h"
#include "quant/calibration/memory_plan.h"
#include "quant/calibration/model_stream.h"
#include "quant/calibration/window_reader.h"
#include "quant/float_matrix.h"
#include "train/train_ops.h"

namespace nibble {
namespace {

constexpr std::int64_t kBatchTokens = 1024;  ///< that go through a block together
constexpr std::size_t kHeadBatches = 4;      ///< that go through the head together

std::int64_t windows_at_once(std::int64_t window) { return std::max<std::int64_t>(1, kBatchTokens / window); }

/// The final norm of a batch that is given.
struct NormedBatch {
  TrainBatch shape;
  TrainOps ops;
  Value x;
  Value y;

  NormedBatch(const TrainWeights& weights, const ModelLayout& layout, TrainBatch batch, std::span<const float> numbers,
              ThreadPool& pool)
      : shape(std::move(batch)), ops(weights, shape, input_gradient(), pool) {
    const ModelConfig& config = weights.config();
    x = ops.given(numbers, config.hidden_size);
    y = ops.rms_norm(x, layout.final_norm, config.rms_norm_eps, config.norm_plus_one);
  }
  static GradientRequest input_gradient() {
    GradientRequest request;
    request.input = true;
    return request;
  }
};

}  // namespace

CalibrationTokens spread_tokens(const CalibrationTokens& calibration, std::int64_t window, std::int64_t most) {
  CalibrationTokens out;
  out.window = std::min(window, calibration.window);
  const std::int64_t all = static_cast<std::int64_t>(calibration.ids.size()) / calibration.window;
  const std::int64_t count = std::min(all, std::max<std::int64_t>(1, most / out.window));
  for (std::int64_t w = 0; w < count; ++w) {
    const auto begin = calibration.ids.begin() + w * all / count * calibration.window;
    out.ids.insert(out.ids.end(), begin, begin + out.window);
  }
  return out;
}

Result<std::vector<StoredActivations>> block_inputs(const ModelWeights& weights, const CalibrationTokens& tokens,
                                                    const std::shared_ptr<ActivationStore>& store, ThreadPool& pool) {
  NIBBLE_TRY(const std::unique_ptr<ModelStream> stream, ModelStream::create(weights, tokens, store, pool));
  NIBBLE_TRY_STATUS(stream->embed());
  std::vector<StoredActivations> out;
  for (int layer = 0; layer < static_cast<int>(weights.config().num_hidden_layers); ++layer) {
    out.push_back(stream->take_hidden());
    NIBBLE_TRY_STATUS(stream->run(layer, out.back()));
  }
  out.push_back(stream->take_hidden());
  return out;
}

BackwardWalk::BackwardWalk(const WalkTask& task, TrainWeights weights, ThreadPool& pool)
    : task_(task),
      weights_(std::move(weights)),
      pool_(pool),
      batch_windows_(windows_at_once(task.tokens.window)),
      batches_(static_cast<std::size_t>(
          (static_cast<std::int64_t>(task.tokens.ids.size()) / task.tokens.window + batch_windows_ - 1) /
          batch_windows_)),
      gradient_(task_.store, batches_) {}

Result<std::unique_ptr<BackwardWalk>> BackwardWalk::create(const WalkTask& task, ThreadPool& pool) {
  NIBBLE_TRY(TrainWeights weights, TrainWeights::load(task.weights, task.tokens.window));
  return std::unique_ptr<BackwardWalk>(new BackwardWalk(task, std::move(weights), pool));
}

std::int64_t BackwardWalk::windows_of(std::size_t batch) const {
  const std::int64_t all = static_cast<std::int64_t>(task_.tokens.ids.size()) / task_.tokens.window;
  return std::min(batch_windows_, all - static_cast<std::int64_t>(batch) * batch_windows_);
}

/// [batch tokens, hidden_size] of a stored value.
Status BackwardWalk::read_hidden(const StoredActivations& from, std::size_t batch, std::vector<float>& out) const {
  const std::int64_t window = task_.tokens.window;
  const std::int64_t of_window = window * task_.weights.config().hidden_size;
  const std::int64_t count = windows_of(batch);
  out.resize(static_cast<std::size_t>(count * of_window));
  WindowReader read(from, BlockRunner::slice_tokens(window) / window, of_window);
  for (std::int64_t w = 0; w < count; ++w)
    NIBBLE_TRY_STATUS(read(static_cast<std::int64_t>(batch) * batch_windows_ + w, out.data() + w * of_window));
  return {};
}

Status BackwardWalk::normed_inputs(std::size_t first, std::size_t last, std::vector<float>& out) {
  std::vector<float> numbers;
  for (std::size_t batch = first; batch < last; ++batch) {
    NIBBLE_TRY_STATUS(read_hidden(task_.hidden.back(), batch, numbers));
    NormedBatch normed(weights_, task_.weights.layout(), {windows_of(batch), task_.tokens.window, {}, {}}, numbers,
                       pool_);
    const std::span<const float> values = TrainOps::numbers(normed.y);
    out.insert(out.end(), values.begin(), values.end());
    normed.ops.forget();
  }
  return {};
}

Status BackwardWalk::put_head_gradient(std::size_t first, std::size_t last, std::span<const float> gradient) {
  std::vector<float> numbers;
  for (std::size_t batch = first; batch < last; ++batch) {
    NIBBLE_TRY_STATUS(read_hidden(task_.hidden.back(), batch, numbers));
    NormedBatch normed(weights_, task_.weights.layout(), {windows_of(batch), task_.tokens.window, {}, {}}, numbers,
                       pool_);
    normed.ops.backward(normed.y, gradient.first(numbers.size()));
    gradient = gradient.subspan(numbers.size());
    NIBBLE_TRY_STATUS(gradient_.put(batch, TrainOps::input_gradient(normed.x)));
  }
  return {};
}

Result<std::vector<double>> BackwardWalk::visit_head(const std::vector<QuantScheme>& schemes) {
  NIBBLE_TRY(MatrixPtr matrix, task_.weights.matrix(task_.weights.layout().head));
  NIBBLE_TRY(const RoundingErrors head, RoundingErrors::create(std::move(matrix), schemes, pool_));
  std::vector<double> growth(schemes.size(), 0.0);
  for (std::size_t first = 0; first < batches_; first += kHeadBatches) {
    const std::size_t last = std::min(batches_, first + kHeadBatches);
    std::vector<float> input;
    NIBBLE_TRY_STATUS(normed_inputs(first, last, input));
    NIBBLE_TRY(const HeadSensitivity found,
               head_sensitivity(task_.weights, input, head, task_.seed + (std::uint64_t{first} << 32), pool_));
    const double part = static_cast<double>(input.size()) /
                        static_cast<double>(static_cast<std::int64_t>(task_.tokens.ids.size()) * head.cols());
    for (std::size_t s = 0; s < growth.size(); ++s) growth[s] += part * found.growth[s];
    NIBBLE_TRY_STATUS(put_head_gradient(first, last, found.gradient));
  }
  return growth;
}

Status BackwardWalk::load_block(int layer) {
  const std::vector<LinearInfo>& linears = task_.weights.layout().linears;
  for (std::size_t i = 0; i < linears.size(); ++i) {
    if (linears[i].role != LinearInfo::Role::kBlock || linears[i].layer != layer) continue;
    const auto id = static_cast<LinearId>(i);
    NIBBLE_TRY(FloatMatrix original, finite_weights(task_.weights, id, pool_));
    weights_.matrix(id) = {original.rows, original.cols, std::move(original.values)};
  }
  return {};
}

Status BackwardWalk::visit_block(int layer, const AtLinear& visit) {
  return_free_memory();
  NIBBLE_TRY_STATUS(load_block(layer));
  const ModelConfig& config = task_.weights.config();
  StoredActivations next(task_.store, batches_);
  Status visited;
  std::vector<float> numbers;
  std::vector<float> d_y;
  for (std::size_t batch = 0; batch < batches_; ++batch) {
    const TrainBatch shape{windows_of(batch), task_.tokens.window, {}, {}};
    GradientRequest request;
    request.input = true;
    request.at_linear = [&](LinearId id, std::span<const float> x, std::span<const float> gradient) {
      if (visited.ok()) visited = visit(id, batch, x, gradient);
    };
    TrainOps ops(weights_, shape, std::move(request), pool_);
    NIBBLE_TRY_STATUS(read_hidden(task_.hidden[static_cast<std::size_t>(layer)], batch, numbers));
    const Value x = ops.given(numbers, config.hidden_size);
    const Value y = decoder_block(ops, config, task_.weights.layout(), layer, x);
    NIBBLE_TRY_STATUS(gradient_.read(batch, d_y));
    ops.backward(y, d_y);
    NIBBLE_TRY_STATUS(visited);
    NIBBLE_TRY_STATUS(next.put(batch, TrainOps::input_gradient(x)));
  }
  gradient_ = std::move(next);
  weights_.forget_matrices();
  return {};
}

std::uint64_t backward_walk_bytes(const ModelWeights& weights, std::int64_t tokens, std::int64_t window) {
  const ModelConfig& config = weights.config();
  const std::int64_t of_batch = windows_at_once(window) * window;
  const std::int64_t differentiating = static_cast<std::int64_t>(block_bytes(weights.layout())) +
                                       static_cast<std::int64_t>(train_bytes_of_token(config)) * of_batch;
  // The head's input and gradient, three tiles of logits, two of weights.
  const std::int64_t at_head = std::min(tokens, static_cast<std::int64_t>(kHeadBatches) * of_batch);
  const std::int64_t head =
      8 * at_head * config.hidden_size + 12 * at_head * kHeadTileRows + 8 * kHeadTileRows * config.hidden_size;
  const std::int64_t of_reading = 4 * config.hidden_size * BlockRunner::slice_tokens(window) + (std::int64_t{10} << 20);
  return static_cast<std::uint64_t>(std::max(differentiating, head) + of_reading);
}

}  // namespace nibble
