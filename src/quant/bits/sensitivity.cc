// From the head back to the embedding. A block is run again on its stored inputs, forward and back, some windows at a
// time; what its linears see on the way back waits in the store until all windows are through.
#include "quant/bits/sensitivity.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <utility>

#include "base/check.h"
#include "model/decoder.h"
#include "quant/bits/head_sensitivity.h"
#include "quant/bits/likelihood_changes.h"
#include "quant/bits/rounding_errors.h"
#include "quant/calibration/memory_plan.h"
#include "quant/calibration/window_reader.h"
#include "quant/float_matrix.h"
#include "train/train_ops.h"

namespace nibble {
namespace {

constexpr std::int64_t kBatchTokens = 1024;  ///< that go through a block together

std::int64_t windows_at_once(std::int64_t window) { return std::max<std::int64_t>(1, kBatchTokens / window); }

class SensitivityPass {
 public:
  SensitivityPass(const SensitivityTask& task, ThreadPool& pool)
      : task_(task),
        config_(task.weights.config()),
        layout_(task.weights.layout()),
        pool_(pool),
        window_(task.tokens.window),
        tokens_(static_cast<std::int64_t>(task.tokens.ids.size())),
        batch_windows_(windows_at_once(window_)),
        batches_(static_cast<std::size_t>((tokens_ / window_ + batch_windows_ - 1) / batch_windows_)),
        gradient_(task.store, batches_) {}

  Result<std::vector<std::vector<double>>> run() {
    growth_.resize(task_.units.size());
    NIBBLE_TRY(TrainWeights weights, TrainWeights::load(task_.weights, window_));
    NIBBLE_TRY_STATUS(visit_head(weights));
    const std::int64_t layers = config_.num_hidden_layers;
    for (int layer = static_cast<int>(layers); layer-- > 0;) {
      NIBBLE_TRY_STATUS(visit_block(layer, weights));
      if (task_.progress && !task_.progress("weighing bits", static_cast<std::uint64_t>(layers - layer),
                                            static_cast<std::uint64_t>(layers), "blocks"))
        return fail(ErrorCode::kCancelled, "the choice of bits was stopped");
    }
    NIBBLE_TRY_STATUS(visit_embedding());
    for (std::size_t u = 0; u < growth_.size(); ++u)
      for (const double growth : growth_[u])
        if (!std::isfinite(growth))
          return fail(
              ErrorCode::kUnsupported,
              "{}: rounding it changes the model by {}: weights or activations are NaN or infinite, and no bits "
              "can be chosen; use --scheme",
              name(task_.units[u].linears.front()), growth);
    return std::move(growth_);
  }

 private:
  /// The input and the gradients by the outputs of a unit's linears, batch by batch.
  struct Seen {
    StoredActivations x;
    std::map<LinearId, StoredActivations> d_y;
  };

  const std::string& name(LinearId id) const { return layout_.linears[static_cast<std::size_t>(id)].name; }
  std::int64_t batch_count(std::size_t batch) const {
    return std::min(batch_windows_, tokens_ / window_ - static_cast<std::int64_t>(batch) * batch_windows_);
  }
  const BitUnit* unit_of(BitUnit::Kind kind, std::size_t& index) const {
    for (index = 0; index < task_.units.size(); ++index)
      if (task_.units[index].kind == kind) return &task_.units[index];
    return nullptr;
  }

  /// hidden [batch tokens, hidden_size] of a stored value.
  Status read_batch(const StoredActivations& from, std::size_t batch, std::vector<float>& out) const {
    const std::int64_t of_window = window_ * config_.hidden_size;
    const std::int64_t count = batch_count(batch);
    out.resize(static_cast<std::size_t>(count * of_window));
    WindowReader read(from, BlockRunner::slice_tokens(window_) / window_, of_window);
    for (std::int64_t w = 0; w < count; ++w)
      NIBBLE_TRY_STATUS(read(static_cast<std::int64_t>(batch) * batch_windows_ + w, out.data() + w * of_window));
    return {};
  }

  Value normed(TrainOps& ops, const Value& x) const {
    return ops.rms_norm(x, layout_.final_norm, config_.rms_norm_eps, config_.norm_plus_one);
  }

  /// Leaves the gradient by the last block's output in gradient_.
  Status visit_head(const TrainWeights& weights) {
    const bool tied = layout_.head == layout_.embedding;
    std::size_t unit = 0;
    NIBBLE_CHECK(unit_of(tied ? BitUnit::Kind::kEmbedding : BitUnit::Kind::kHead, unit) != nullptr);
    std::vector<float> normed_input;
    std::vector<float> numbers;
    const auto each_batch =
        [&](const std::function<Status(TrainOps&, const Value&, const Value&, std::size_t)>& body) -> Status {
      for (std::size_t batch = 0; batch < batches_; ++batch) {
        NIBBLE_TRY_STATUS(read_batch(task_.hidden.back(), batch, numbers));
        TrainBatch shape{batch_count(batch), window_, {}, {}};
        GradientRequest request;
        request.input = true;
        TrainOps ops(weights, shape, std::move(request), pool_);
        const Value x = ops.given(numbers, config_.hidden_size);
        NIBBLE_TRY_STATUS(body(ops, x, normed(ops, x), batch));
      }
      return {};
    };
    NIBBLE_TRY_STATUS(each_batch([&](TrainOps& ops, const Value&, const Value& y, std::size_t) -> Status {
      const std::span<const float> values = TrainOps::numbers(y);
      normed_input.insert(normed_input.end(), values.begin(), values.end());
      ops.forget();
      return {};
    }));
    NIBBLE_TRY(MatrixPtr matrix, task_.weights.matrix(layout_.head));
    NIBBLE_TRY(const RoundingErrors head, RoundingErrors::create(std::move(matrix), task_.choices[unit], pool_));
    NIBBLE_TRY(HeadSensitivity found, head_sensitivity(task_.weights, normed_input, head, task_.seed, pool_));
    growth_[unit] = std::move(found.growth);
    std::size_t at = 0;
    return each_batch([&](TrainOps& ops, const Value& x, const Value& y, std::size_t batch) -> Status {
      const std::size_t size = TrainOps::numbers(y).size();
      ops.backward(y, std::span(found.gradient).subspan(at, size));
      at += size;
      return gradient_.put(batch, TrainOps::input_gradient(x));
    });
  }

  Status load_block(int layer, TrainWeights& weights) {
    for (std::size_t i = 0; i < layout_.linears.size(); ++i) {
      const LinearInfo& info = layout_.linears[i];
      if (info.role != LinearInfo::Role::kBlock || info.layer != layer) continue;
      const auto id = static_cast<LinearId>(i);
      NIBBLE_TRY(FloatMatrix original, finite_weights(task_.weights, id, pool_));
      weights.matrix(id) = {original.rows, original.cols, std::move(original.values)};
    }
    return {};
  }

  /// Takes gradient_ from the block's output to its input, and weighs its units.
  Status visit_block(int layer, TrainWeights& weights) {
    NIBBLE_TRY_STATUS(load_block(layer, weights));
    std::map<LinearId, std::size_t> unit_of_linear;
    std::map<std::size_t, Seen> seen;
    for (std::size_t u = 0; u < task_.units.size(); ++u) {
      if (task_.units[u].layer != layer) continue;
      Seen& unit = seen.emplace(u, Seen{StoredActivations(task_.store, batches_), {}}).first->second;
      for (const LinearId id : task_.units[u].linears) {
        unit_of_linear[id] = u;
        unit.d_y.emplace(id, StoredActivations(task_.store, batches_));
      }
    }
    StoredActivations next(task_.store, batches_);
    Status stored;
    std::vector<float> numbers;
    std::vector<float> d_y;
    for (std::size_t batch = 0; batch < batches_; ++batch) {
      TrainBatch shape{batch_count(batch), window_, {}, {}};
      GradientRequest request;
      request.input = true;
      request.at_linear = [&](LinearId id, std::span<const float> x, std::span<const float> gradient) {
        Seen& unit = seen.at(unit_of_linear.at(id));
        if (stored.ok()) stored = unit.x.put(batch, x);
        if (stored.ok()) stored = unit.d_y.at(id).put(batch, gradient);
      };
      TrainOps ops(weights, shape, std::move(request), pool_);
      NIBBLE_TRY_STATUS(read_batch(task_.hidden[static_cast<std::size_t>(layer)], batch, numbers));
      const Value x = ops.given(numbers, config_.hidden_size);
      const Value y = decoder_block(ops, config_, layout_, layer, x);
      NIBBLE_TRY_STATUS(gradient_.read(batch, d_y));
      ops.backward(y, d_y);
      NIBBLE_TRY_STATUS(stored);
      NIBBLE_TRY_STATUS(next.put(batch, TrainOps::input_gradient(x)));
    }
    gradient_ = std::move(next);
    weights.forget_matrices();
    for (const auto& [unit, what] : seen) NIBBLE_TRY_STATUS(weigh(unit, what));
    return {};
  }

  static Status read_all(const StoredActivations& stored, std::size_t batches, std::vector<float>& out) {
    out.clear();
    std::vector<float> part;
    for (std::size_t batch = 0; batch < batches; ++batch) {
      NIBBLE_TRY_STATUS(stored.read(batch, part));
      out.insert(out.end(), part.begin(), part.end());
    }
    return {};
  }

  Status weigh(std::size_t unit, const Seen& seen) {
    const std::vector<QuantScheme>& schemes = task_.choices[unit];
    std::vector<LikelihoodChanges> changes(schemes.size(), LikelihoodChanges(tokens_));
    std::vector<float> x;
    NIBBLE_TRY_STATUS(read_all(seen.x, batches_, x));
    std::vector<float> d_y;
    std::vector<float> weights;
    std::vector<float> errors;
    for (const LinearId id : task_.units[unit].linears) {
      NIBBLE_TRY_STATUS(read_all(seen.d_y.at(id), batches_, d_y));
      NIBBLE_TRY(MatrixPtr matrix, task_.weights.matrix(id));
      NIBBLE_TRY(const RoundingErrors rounding, RoundingErrors::create(std::move(matrix), schemes, pool_));
      NIBBLE_TRY_STATUS(rounding.weights(0, rounding.rows(), weights, pool_));
      for (std::size_t s = 0; s < schemes.size(); ++s) {
        NIBBLE_TRY_STATUS(rounding.errors(s, 0, rounding.rows(), weights, errors, pool_));
        changes[s].add_linear(x, d_y, errors, rounding.cols(), pool_);
      }
      rounding.release();
    }
    for (const LikelihoodChanges& each : changes) growth_[unit].push_back(each.growth());
    return {};
  }

  /// Only rows of tokens that occur are rounded.
  Status visit_embedding() {
    std::size_t unit = 0;
    NIBBLE_CHECK(unit_of(BitUnit::Kind::kEmbedding, unit) != nullptr);
    NIBBLE_TRY(MatrixPtr matrix, task_.weights.matrix(layout_.embedding));
    NIBBLE_TRY(const RoundingErrors rounding, RoundingErrors::create(std::move(matrix), task_.choices[unit], pool_));
    std::vector<float> gradient;
    NIBBLE_TRY_STATUS(read_all(gradient_, batches_, gradient));
    const std::int64_t step = rounding.row_step();
    std::map<std::int64_t, std::vector<std::int64_t>> positions;  // by the first row of a step
    for (std::int64_t t = 0; t < tokens_; ++t)
      positions[task_.tokens.ids[static_cast<std::size_t>(t)] / step * step].push_back(t);
    growth_[unit].resize(rounding.schemes(), 0.0);
    std::vector<LikelihoodChanges> changes(rounding.schemes(), LikelihoodChanges(tokens_));
    std::vector<float> weights;
    std::vector<float> errors;
    for (const auto& [first, where] : positions) {
      const std::int64_t count = std::min(step, rounding.rows() - first);
      NIBBLE_TRY_STATUS(rounding.weights(first, count, weights, pool_));
      for (std::size_t s = 0; s < rounding.schemes(); ++s) {
        NIBBLE_TRY_STATUS(rounding.errors(s, first, count, weights, errors, pool_));
        for (const std::int64_t t : where) {
          const std::int64_t row = task_.tokens.ids[static_cast<std::size_t>(t)] - first;
          double sum = 0;
          for (std::int64_t c = 0; c < rounding.cols(); ++c)
            sum += static_cast<double>(errors[static_cast<std::size_t>(row * rounding.cols() + c)] *
                                       gradient[static_cast<std::size_t>(t * rounding.cols() + c)]);
          changes[s].add(t, sum * static_cast<double>(config_.embedding_scale));
        }
      }
    }
    rounding.release();
    for (std::size_t s = 0; s < rounding.schemes(); ++s) growth_[unit][s] += changes[s].growth();
    return task_.weights.check_intact();
  }

  const SensitivityTask& task_;
  const ModelConfig& config_;
  const ModelLayout& layout_;
  ThreadPool& pool_;
  std::int64_t window_;
  std::int64_t tokens_;
  std::int64_t batch_windows_;
  std::size_t batches_;
  StoredActivations gradient_;  ///< by the output of the block that is next
  std::vector<std::vector<double>> growth_;
};

}  // namespace

Result<std::vector<std::vector<double>>> rounding_sensitivity(const SensitivityTask& task, ThreadPool& pool) {
  return SensitivityPass(task, pool).run();
}

std::uint64_t sensitivity_bytes(const ModelWeights& weights, std::int64_t tokens, std::int64_t window) {
  const ModelConfig& config = weights.config();
  const ModelLayout& layout = weights.layout();
  std::int64_t weighing = 0;
  for (const LinearInfo& info : layout.linears) {
    if (info.role != LinearInfo::Role::kBlock) continue;
    // A linear's weights and errors, its inputs and gradients, and some outputs.
    const std::int64_t of_linear = 8 * info.rows * info.cols + 4 * tokens * (info.rows + info.cols) +
                                   4 * LikelihoodChanges::kTokensAtOnce * info.rows;
    weighing = std::max(weighing, of_linear);
  }
  const std::int64_t differentiating =
      static_cast<std::int64_t>(block_bytes(layout)) +
      static_cast<std::int64_t>(train_bytes_of_token(config)) * windows_at_once(window) * window;
  // The head's input and gradient, three tiles of logits, two of weights.
  const std::int64_t head =
      8 * tokens * config.hidden_size + 12 * tokens * kHeadTileRows + 8 * kHeadTileRows * config.hidden_size;
  const std::int64_t of_reading = 4 * config.hidden_size * BlockRunner::slice_tokens(window) + (std::int64_t{10} << 20);
  return static_cast<std::uint64_t>(std::max({weighing, differentiating, head}) + of_reading);
}

}  // namespace nibble
