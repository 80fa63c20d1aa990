// Every operation's gradients against differences, for each of its inputs and parameters.
#include "train/train_ops.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "kernel/gemm/gemm.h"
#include "train/testing/finite_differences.h"

namespace nibble {
namespace {

constexpr std::int64_t kHidden = 12;
constexpr std::int64_t kWide = 20;
constexpr std::int64_t kVocab = 9;

/// Names without numbers: two matrices that read the hidden state (one with a bias), a table, norms of both lengths.
enum : LinearId { kFirst, kWithBias, kTable };
enum : VectorId { kRowNorm, kHeadNorm };

class Names final : public ModelWeights {
 public:
  Names() {
    layout_.linears = {{"first", kWide, kHidden}, {"with_bias", kWide, kHidden}, {"table", kVocab, kHidden}};
    layout_.vectors = {{"row", kHidden}, {"head", 4}};
    kernel::RopeConfig rope;
    rope.rotary_dim = 4;
    config_.ropes = {rope};
  }
  const ModelConfig& config() const override { return config_; }
  const ModelLayout& layout() const override { return layout_; }
  std::string path() const override { return "names"; }
  Result<MatrixPtr> matrix(LinearId) const override { return fail(ErrorCode::kNotFound, "no matrices"); }
  Result<std::vector<float>> bias(LinearId id) const override {
    return std::vector<float>(id == kWithBias ? kWide : 0, 0.25f);
  }
  Result<std::vector<float>> vector(VectorId id) const override {
    return std::vector<float>(static_cast<std::size_t>(layout_.vectors[static_cast<std::size_t>(id)].size));
  }

 private:
  ModelConfig config_;
  ModelLayout layout_;
};

std::vector<float> normal_numbers(std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(static_cast<std::size_t>(count));
  for (float& v : out) v = normal(random);
  return out;
}

/// Inputs of some widths, a function of them, and the loss: the function's result times fixed random numbers, added up.
class OpsGradient : public ::testing::Test {
 protected:
  using Function = std::function<Value(TrainOps&, const std::vector<Value>&)>;

  OpsGradient() : weights_(TrainWeights::load(Names(), 300).value()) {
    batch_.windows = 2;
    batch_.window = 5;
    for (std::int64_t t = 0; t < 10; ++t) batch_.tokens.push_back(static_cast<std::int32_t>(t * t % kVocab));
    batch_.output_rows = {1, 4, 9};
    const ModelLayout& layout = names_.layout();
    for (std::size_t i = 0; i < layout.linears.size(); ++i) {
      const auto id = static_cast<LinearId>(i);
      const LinearInfo& info = layout.linears[i];
      weights_.matrix(id) = {info.rows, info.cols,
                             normal_numbers(info.rows * info.cols, 50 + static_cast<unsigned>(i))};
      request_.matrices.insert(id);
    }
    request_.biases.insert(kWithBias);
    for (const VectorId id : {kRowNorm, kHeadNorm}) {
      weights_.vector(id) = normal_numbers(static_cast<std::int64_t>(weights_.vector(id).size()), 90);
      request_.vectors.insert(id);
    }
    request_.input = true;
  }

  double loss(const Function& function) {
    TrainOps ops(weights_, batch_, {}, pool_);
    const Value y = run(ops, function, nullptr);
    const std::span<const float> numbers = TrainOps::numbers(y);
    const std::vector<float> direction = normal_numbers(static_cast<std::int64_t>(numbers.size()), 3);
    double sum = 0;
    for (std::size_t i = 0; i < numbers.size(); ++i)
      sum += static_cast<double>(numbers[i]) * static_cast<double>(direction[i]);
    return sum;
  }

  /// Checks the gradients by every input of these widths and by every parameter that was reached.
  void check(const std::vector<std::int64_t>& widths, const Function& function) {
    inputs_.clear();
    widths_ = widths;
    for (std::size_t i = 0; i < widths.size(); ++i)
      inputs_.push_back(normal_numbers(batch_.windows * batch_.window * widths[i], 20 + static_cast<unsigned>(i)));
    TrainOps ops(weights_, batch_, request_, pool_);
    std::vector<Value> given;
    const Value y = run(ops, function, &given);
    ops.backward(y, normal_numbers(static_cast<std::int64_t>(TrainOps::numbers(y).size()), 3));
    const auto again = [&] { return loss(function); };
    for (std::size_t i = 0; i < given.size(); ++i)
      testing::expect_gradient("input " + std::to_string(i), inputs_[i], TrainOps::input_gradient(given[i]), again);
    for (const LinearId id : request_.matrices)
      if (!ops.matrix_gradient(id).empty())
        testing::expect_gradient("matrix " + std::to_string(id), weights_.matrix(id).values, ops.matrix_gradient(id),
                                 again);
    for (const LinearId id : request_.biases)
      if (!ops.bias_gradient(id).empty())
        testing::expect_gradient("bias", weights_.bias(id), ops.bias_gradient(id), again);
    for (const VectorId id : request_.vectors)
      if (!ops.vector_gradient(id).empty())
        testing::expect_gradient("vector " + std::to_string(id), weights_.vector(id), ops.vector_gradient(id), again);
  }

  Value run(TrainOps& ops, const Function& function, std::vector<Value>* given) {
    std::vector<Value> values;
    for (std::size_t i = 0; i < inputs_.size(); ++i) values.push_back(ops.given(inputs_[i], widths_[i]));
    if (given != nullptr) *given = values;
    return function(ops, values);
  }

  Names names_;
  TrainWeights weights_;
  TrainBatch batch_;
  GradientRequest request_;
  ThreadPool pool_{1};
  std::vector<std::vector<float>> inputs_;
  std::vector<std::int64_t> widths_;
};

/// The gradient of a matrix is the sum over tokens of what is seen at the linear.
TEST_F(OpsGradient, LinearsCanBeWatched) {
  inputs_ = {normal_numbers(10 * kHidden, 20)};
  widths_ = {kHidden};
  std::map<LinearId, std::vector<float>> products;
  request_.at_linear = [&](LinearId id, std::span<const float> x, std::span<const float> d_y) {
    ASSERT_EQ(x.size(), static_cast<std::size_t>(10 * kHidden));
    ASSERT_EQ(d_y.size(), static_cast<std::size_t>(10 * kWide));
    std::vector<float>& sum = products[id];
    sum.resize(static_cast<std::size_t>(kWide * kHidden));
    for (std::size_t t = 0; t < 10; ++t)
      for (std::size_t r = 0; r < kWide; ++r)
        for (std::size_t c = 0; c < kHidden; ++c) sum[r * kHidden + c] += d_y[t * kWide + r] * x[t * kHidden + c];
  };
  TrainOps ops(weights_, batch_, request_, pool_);
  const LinearId linears[] = {kFirst, kWithBias};
  std::vector<Value> given;
  const Value y = run(
      ops,
      [&](TrainOps& o, const std::vector<Value>& in) {
        const std::vector<Value> both = o.linear_group(in[0], linears);
        return o.gated_activation(Activation::kSilu, both[0], both[1]);
      },
      &given);
  ops.backward(y, normal_numbers(10 * kWide, 3));
  for (const LinearId id : linears) {
    const std::span<const float> gradient = ops.matrix_gradient(id);
    ASSERT_EQ(products[id].size(), gradient.size());
    for (std::size_t i = 0; i < gradient.size(); ++i) EXPECT_NEAR(products[id][i], gradient[i], 1e-4f);
  }
}

TEST_F(OpsGradient, Embed) {
  check({}, [](TrainOps& ops, const std::vector<Value>&) { return ops.embed(kTable, 1.75f); });
  TrainOps ops(weights_, batch_, request_, pool_);
  const Value y = ops.embed(kTable, 1.0f);
  ops.backward(y, TrainOps::numbers(y));
  EXPECT_EQ(ops.matrix_gradient(kTable).size(), static_cast<std::size_t>(kVocab * kHidden));
}

/// Two that share an input, each used otherwise, one of them twice.
TEST_F(OpsGradient, LinearGroup) {
  const LinearId group[] = {kFirst, kWithBias};
  check({kHidden}, [&](TrainOps& ops, const std::vector<Value>& x) {
    const std::vector<Value> y = ops.linear_group(x[0], group);
    const Value again = ops.linear(ops.embed(kTable, 1.0f), kFirst);
    return ops.add(ops.add(y[0], ops.softcap(y[1], 3.0f)), again);
  });
}

TEST_F(OpsGradient, RmsNorm) {
  for (const bool plus_one : {false, true}) {
    check({kHidden},
          [&](TrainOps& ops, const std::vector<Value>& x) { return ops.rms_norm(x[0], kRowNorm, 0.1f, plus_one); });
    check({kHidden}, [&](TrainOps& ops, const std::vector<Value>& x) {
      return ops.rms_norm(x[0], kHeadNorm, 0.1f, plus_one);  // three heads
    });
  }
}

TEST_F(OpsGradient, Rope) {
  for (const std::int64_t head_dim : {4, 6})  // all of a head, or its first dimensions
    check({kHidden}, [&](TrainOps& ops, const std::vector<Value>& x) { return ops.rope(x[0], head_dim, 0); });
}

TEST_F(OpsGradient, Attention) {
  for (const auto& [window, softcap] :
       {std::pair(0, 0.0f), std::pair(3, 0.0f), std::pair(0, 1.5f), std::pair(2, 1.5f)}) {
    AttentionSpec spec;
    spec.heads = 6;
    spec.kv_heads = 2;
    spec.head_dim = 3;
    spec.scale = 0.7f;
    spec.window = window;
    spec.softcap = softcap;
    check({18, 6, 6},
          [&](TrainOps& ops, const std::vector<Value>& x) { return ops.attention(x[0], x[1], x[2], spec); });
  }
}

/// More queries than are held at once, and a window that begins in the middle.
TEST_F(OpsGradient, LongAttention) {
  batch_.windows = 1;
  batch_.window = 290;
  for (const std::int64_t window : {0, 100}) {
    AttentionSpec spec;
    spec.heads = 2;
    spec.kv_heads = 1;
    spec.head_dim = 4;
    spec.scale = 0.5f;
    spec.window = window;
    check({8, 4, 4}, [&](TrainOps& ops, const std::vector<Value>& x) { return ops.attention(x[0], x[1], x[2], spec); });
  }
}

TEST_F(OpsGradient, GatedActivation) {
  for (const Activation act : {Activation::kSilu, Activation::kGeluTanh, Activation::kGeluErf, Activation::kRelu}) {
    SCOPED_TRACE(static_cast<int>(act));
    if (act == Activation::kRelu) {
      // Away from the kink, where differences mean nothing.
      check({kHidden}, [&](TrainOps& ops, const std::vector<Value>& x) {
        return ops.gated_activation(act, ops.embed(kTable, 1.0f), x[0]);
      });
      continue;
    }
    check({kWide, kWide},
          [&](TrainOps& ops, const std::vector<Value>& x) { return ops.gated_activation(act, x[0], x[1]); });
  }
}

/// A value that is read three times, its gradients shared and added.
TEST_F(OpsGradient, Add) {
  check({kHidden, kHidden}, [](TrainOps& ops, const std::vector<Value>& x) {
    const Value once = ops.add(x[0], x[1]);
    const Value twice = ops.add(once, x[0]);
    return ops.add(ops.rms_norm(twice, kRowNorm, 0.1f, false), ops.add(twice, once));
  });
}

TEST_F(OpsGradient, OutputRows) {
  check({kHidden}, [](TrainOps& ops, const std::vector<Value>& x) { return ops.output_rows(x[0]); });
}

TEST_F(OpsGradient, Softcap) {
  check({kHidden}, [](TrainOps& ops, const std::vector<Value>& x) { return ops.softcap(x[0], 1.25f); });
}

/// Two halves of the windows one after the other: the same sum, and to the bit where a half is whole runs of products.
TEST_F(OpsGradient, CallsAddUp) {
  request_ = {};
  request_.matrices = {kFirst};
  batch_.windows = 2;
  batch_.window = kernel::kGemmRun;
  const std::vector<float> x = normal_numbers(batch_.windows * batch_.window * kHidden, 1);
  const std::vector<float> d = normal_numbers(batch_.windows * batch_.window * kWide, 2);
  TrainOps whole(weights_, batch_, request_, pool_);
  whole.backward(whole.linear(whole.given(x, kHidden), kFirst), d);
  const TrainBatch half{1, kernel::kGemmRun, {}, {}};
  TrainOps parts(weights_, half, request_, pool_);
  const auto add = [&](std::size_t part) {
    const auto portion = [part](const std::vector<float>& all) {
      return std::span(all).subspan(part * all.size() / 2, all.size() / 2);
    };
    parts.backward(parts.linear(parts.given(portion(x), kHidden), kFirst), portion(d));
  };
  add(1);
  parts.clear_gradients();
  EXPECT_TRUE(parts.matrix_gradient(kFirst).empty());
  add(0);
  add(1);
  EXPECT_TRUE(std::ranges::equal(parts.matrix_gradient(kFirst), whole.matrix_gradient(kFirst)));
}

TEST_F(OpsGradient, NothingIsFoundThatWasNotRequested) {
  request_ = {};
  request_.matrices = {kFirst};
  inputs_ = {normal_numbers(10 * kHidden, 1)};
  widths_ = {kHidden};
  TrainOps ops(weights_, batch_, request_, pool_);
  std::vector<Value> given;
  const LinearId group[] = {kFirst, kWithBias};
  const Value y = run(
      ops, [&](TrainOps& o, const std::vector<Value>& x) { return o.linear_group(x[0], group)[0]; }, &given);
  ops.backward(y, TrainOps::numbers(y));
  EXPECT_FALSE(ops.matrix_gradient(kFirst).empty());
  EXPECT_TRUE(ops.matrix_gradient(kWithBias).empty());
  EXPECT_TRUE(ops.bias_gradient(kWithBias).empty());
  EXPECT_TRUE(TrainOps::input_gradient(given[0]).empty());
}

}  // namespace
}  // namespace nibble
