// Whole models of every architecture: the forward pass against the engine, gradients of blocks and head against
// differences, equal bits for any number of threads.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "model/decoder.h"
#include "model/model_files.h"
#include "run/cpu_executor.h"
#include "train/testing/finite_differences.h"
#include "train/train_ops.h"

namespace nibble {
namespace {

constexpr std::int64_t kWindows = 2;
constexpr std::int64_t kWindow = 19;  // longer than the models' sliding windows

class GoldenBlocks : public ::testing::TestWithParam<const char*> {
 protected:
  GoldenBlocks()
      : files_(ModelFiles::open(std::filesystem::path(NIBBLE_SOURCE_DIR) / "tests/golden/models" / GetParam()).value()),
        weights_(TrainWeights::load(*files_, kWindow).value()) {
    const ModelLayout& layout = files_->layout();
    for (std::size_t i = 0; i < layout.linears.size(); ++i) {
      const LinearInfo& info = layout.linears[i];
      QuantizedMatrix stored;
      EXPECT_TRUE(files_->matrix(static_cast<LinearId>(i)).value()->decode(0, info.rows, stored).ok());
      DenseMatrix& dense = weights_.matrix(static_cast<LinearId>(i));
      dense = {info.rows, info.cols, std::vector<float>(static_cast<std::size_t>(info.rows * info.cols))};
      dequantize(stored, dense.values.data());
    }
    std::mt19937 random(3);
    batch_.windows = kWindows;
    batch_.window = kWindow;
    for (std::int64_t t = 0; t < kWindows * kWindow; ++t) {
      batch_.tokens.push_back(static_cast<std::int32_t>(random() % static_cast<unsigned>(config().vocab_size)));
      batch_.output_rows.push_back(t);
    }
  }
  const ModelConfig& config() const { return files_->config(); }
  const ModelLayout& layout() const { return files_->layout(); }

  /// The engine's logits, window after window.
  std::vector<float> logits_of_engine() {
    const auto pool = std::make_shared<ThreadPool>(2);
    CpuExecutor::Options options;
    options.compute = kernel::Compute::kF32;
    CpuExecutor executor(CpuModel::load(files_, {}, *pool).value(), pool, options);
    std::vector<float> out;
    for (std::int64_t w = 0; w < kWindows; ++w) {
      const auto sequence = executor.new_sequence();
      const BatchItem item{sequence.get(),
                           std::span(batch_.tokens).subspan(static_cast<std::size_t>(w * kWindow), kWindow),
                           BatchItem::Logits::kAll};
      EXPECT_TRUE(executor
                      .forward({&item, 1},
                               [&](std::size_t, std::int64_t, std::int64_t rows, const float* logits) {
                                 out.insert(out.end(), logits, logits + rows * config().vocab_size);
                               })
                      .ok());
    }
    return out;
  }

  /// Part `part` of the model: its blocks in order, then its head.
  Value run_part(TrainOps& ops, int part, const Value& x) {
    const bool head = part == static_cast<int>(config().num_hidden_layers);
    return head ? decoder_head(ops, config(), layout(), x) : decoder_block(ops, config(), layout(), part, x);
  }

  std::vector<float> inputs_of_part(int part, ThreadPool& pool) {
    TrainOps ops(weights_, batch_, {}, pool);
    Value x = decoder_embed(ops, config(), layout());
    for (int p = 0; p < part; ++p) x = run_part(ops, p, x);
    const std::span<const float> numbers = TrainOps::numbers(x);
    return {numbers.begin(), numbers.end()};
  }

  static GradientRequest everything(const ModelLayout& layout) {
    GradientRequest request;
    request.input = true;
    for (std::size_t i = 0; i < layout.linears.size(); ++i) {
      request.matrices.insert(static_cast<LinearId>(i));
      request.biases.insert(static_cast<LinearId>(i));
    }
    for (std::size_t i = 0; i < layout.vectors.size(); ++i) request.vectors.insert(static_cast<VectorId>(i));
    return request;
  }

  static std::vector<float> direction(std::size_t count) {
    std::mt19937 random(11);
    std::normal_distribution<float> normal;
    std::vector<float> out(count);
    for (float& v : out) v = normal(random);
    return out;
  }

  ModelFiles::Ptr files_;
  TrainWeights weights_;
  TrainBatch batch_;
};

TEST_P(GoldenBlocks, ForwardIsTheEngines) {
  ThreadPool pool(2);
  TrainOps ops(weights_, batch_, {}, pool);
  Value x = decoder_embed(ops, config(), layout());
  for (int part = 0; part <= static_cast<int>(config().num_hidden_layers); ++part) x = run_part(ops, part, x);
  const std::vector<float> expected = logits_of_engine();
  const std::span<const float> got = TrainOps::numbers(x);
  ASSERT_EQ(got.size(), expected.size());
  float largest = 0;
  for (const float v : expected) largest = std::max(largest, std::fabs(v));
  // Other orders of the same sums: hundreds of roundings of 6e-8.
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], 2e-5f * largest) << i;
}

TEST_P(GoldenBlocks, GradientsAreSlopes) {
  ThreadPool pool(1);
  for (int part = 0; part <= static_cast<int>(config().num_hidden_layers); ++part) {
    SCOPED_TRACE("part " + std::to_string(part));
    std::vector<float> inputs = inputs_of_part(part, pool);
    std::vector<float> towards;
    const auto loss = [&] {
      TrainOps ops(weights_, batch_, {}, pool);
      const Value y = run_part(ops, part, ops.given(inputs, config().hidden_size));
      double sum = 0;
      for (std::size_t i = 0; i < towards.size(); ++i)
        sum += static_cast<double>(TrainOps::numbers(y)[i]) * static_cast<double>(towards[i]);
      return sum;
    };
    TrainOps ops(weights_, batch_, everything(layout()), pool);
    const Value x = ops.given(inputs, config().hidden_size);
    const Value y = run_part(ops, part, x);
    towards = direction(TrainOps::numbers(y).size());
    ops.backward(y, towards);
    testing::expect_gradient("input", inputs, TrainOps::input_gradient(x), loss, 24);
    int matrices = 0;
    for (std::size_t i = 0; i < layout().linears.size(); ++i) {
      const auto id = static_cast<LinearId>(i);
      const std::string& name = layout().linears[i].name;
      if (ops.matrix_gradient(id).empty()) continue;
      ++matrices;
      testing::expect_gradient(name, weights_.matrix(id).values, ops.matrix_gradient(id), loss, 12);
      // A bias of k has no gradient but rounding: softmax does not see what all keys have in common.
      const bool seen = name.find("k_proj") == std::string::npos;
      if (!weights_.bias(id).empty() && seen)
        testing::expect_gradient(name + ".bias", weights_.bias(id), ops.bias_gradient(id), loss, 12);
    }
    EXPECT_EQ(matrices, part == static_cast<int>(config().num_hidden_layers) ? 1 : 7);
    for (std::size_t i = 0; i < layout().vectors.size(); ++i) {
      const auto id = static_cast<VectorId>(i);
      if (!ops.vector_gradient(id).empty())
        testing::expect_gradient(layout().vectors[i].name, weights_.vector(id), ops.vector_gradient(id), loss, 12);
    }
  }
}

TEST_P(GoldenBlocks, ThreadsChangeNothing) {
  std::vector<std::vector<float>> first;
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    const std::vector<float> inputs = inputs_of_part(0, pool);
    TrainOps ops(weights_, batch_, everything(layout()), pool);
    const Value x = ops.given(inputs, config().hidden_size);
    const Value y = run_part(ops, 0, x);
    ops.backward(y, direction(TrainOps::numbers(y).size()));
    std::vector<std::vector<float>> got;
    const auto keep = [&](std::span<const float> numbers) { got.emplace_back(numbers.begin(), numbers.end()); };
    keep(TrainOps::numbers(y));
    keep(TrainOps::input_gradient(x));
    for (std::size_t i = 0; i < layout().linears.size(); ++i) {
      keep(ops.matrix_gradient(static_cast<LinearId>(i)));
      keep(ops.bias_gradient(static_cast<LinearId>(i)));
    }
    for (std::size_t i = 0; i < layout().vectors.size(); ++i) keep(ops.vector_gradient(static_cast<VectorId>(i)));
    if (first.empty()) first = got;
    EXPECT_EQ(got, first) << threads;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenBlocks,
                         ::testing::Values("llama", "llama-linear", "llama-rope3", "llama-tied", "llama-yarn", "qwen2",
                                           "qwen3", "gemma3", "mistral-window"),
                         [](const auto& model) {
                           std::string name = model.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace nibble
