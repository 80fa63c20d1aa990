// Time of one forward and backward pass through one block shaped as SmolLM2-135M's, gradients of all its matrices: what
// an iteration of AutoRound costs.
//   bench_train
// GFLOP/s counts the matrix products of the linears: 2 x weights x tokens forward and for each of the two gradients.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>

#include "model/decoder.h"
#include "train/train_ops.h"

namespace nibble {
namespace {

/// A model without numbers: 576 wide, 9 heads on 3, feed-forward 1536.
class SmolShape final : public ModelWeights {
 public:
  SmolShape() {
    config_.vocab_size = 8;
    config_.hidden_size = 576;
    config_.intermediate_size = 1536;
    config_.num_hidden_layers = 1;
    config_.num_attention_heads = 9;
    config_.num_key_value_heads = 3;
    config_.head_dim = 64;
    config_.attention_scale = 0.125f;
    config_.layers.resize(1);
    kernel::RopeConfig rope;
    rope.rotary_dim = 64;
    config_.ropes = {rope};
    layout_ = decoder_layout(config_, false);
  }
  const ModelConfig& config() const override { return config_; }
  const ModelLayout& layout() const override { return layout_; }
  std::string path() const override { return "smol"; }
  Result<MatrixPtr> matrix(LinearId) const override { return fail(ErrorCode::kNotFound, "no matrices"); }
  Result<std::vector<float>> bias(LinearId) const override { return std::vector<float>(); }
  Result<std::vector<float>> vector(VectorId id) const override {
    return std::vector<float>(static_cast<std::size_t>(layout_.vectors[static_cast<std::size_t>(id)].size), 1.0f);
  }

 private:
  ModelConfig config_;
  ModelLayout layout_;
};

/// Arguments: windows, tokens of each, threads.
void block_forward_and_backward(benchmark::State& state) {
  const SmolShape model;
  const TrainBatch batch{state.range(0), state.range(1), {}, {}};
  ThreadPool pool(static_cast<int>(state.range(2)));
  TrainWeights weights = TrainWeights::load(model, batch.window).value();
  GradientRequest request;
  std::int64_t count = 0;
  for (std::size_t i = 0; i < model.layout().linears.size(); ++i) {
    const LinearInfo& info = model.layout().linears[i];
    if (info.role != LinearInfo::Role::kBlock) continue;
    DenseMatrix& matrix = weights.matrix(static_cast<LinearId>(i));
    matrix = {info.rows, info.cols, std::vector<float>(static_cast<std::size_t>(info.rows * info.cols))};
    for (std::size_t n = 0; n < matrix.values.size(); ++n)
      matrix.values[n] = 0.001f * static_cast<float>(static_cast<int>(n * 7919 % 101) - 50);
    request.matrices.insert(static_cast<LinearId>(i));
    count += info.rows * info.cols;
  }
  std::vector<float> x(static_cast<std::size_t>(batch.windows * batch.window * model.config().hidden_size));
  for (std::size_t n = 0; n < x.size(); ++n)
    x[n] = 0.01f * static_cast<float>(static_cast<int>(n * 104729 % 201) - 100);
  TrainOps ops(weights, batch, request, pool);
  std::vector<double> times;
  for (auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    const Value y = decoder_block(ops, model.config(), model.layout(), 0, ops.given(x, model.config().hidden_size));
    ops.backward(y, x);
    times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    state.SetIterationTime(times.back());
  }
  std::sort(times.begin(), times.end());
  const double flops = 6.0 * static_cast<double>(count) * static_cast<double>(batch.windows * batch.window);
  state.counters["best_ms"] = times.front() * 1e3;
  state.counters["median_GFLOP/s"] = flops / times[times.size() / 2] * 1e-9;
}
BENCHMARK(block_forward_and_backward)
    ->Args({8, 512, 1})
    ->Args({8, 512, 2})
    ->Args({4, 512, 1})
    ->Args({2, 1024, 2})
    ->UseManualTime()
    ->Iterations(8)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace nibble
