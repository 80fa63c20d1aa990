// AWQ of the golden models: better than rounding to nearest, the same bytes for any number of threads, and a stated
// outcome for statistics and weights that are of no use.
#include "quant/awq/awq_matrices.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <map>

#include "quant/fold/fold_test_support.h"
#include "quant/gptq/gptq_matrices.h"
#include "quant/rtn/rtn.h"
#include "quant/weights_as_floats.h"

namespace nibble {
namespace {

/// A model with some of its weights replaced.
class Damaged final : public ModelWeights {
 public:
  Damaged(const ModelWeights& weights, LinearId id, const std::function<void(std::vector<float>&)>& damage)
      : weights_(weights), id_(id) {
    ThreadPool pool(1);
    const MatrixPtr original = weights.matrix(id).value();
    std::vector<float> values = weights_as_floats(*original, pool).value();
    damage(values);
    QuantizedMatrix out;
    out.allocate(QuantScheme::of_float(ElementType::kF32), original->rows(), original->cols(), 0, original->rows());
    std::memcpy(out.codes.data(), values.data(), values.size() * sizeof(float));
    matrix_ = make_source(std::move(out));
  }
  const ModelConfig& config() const override { return weights_.config(); }
  const ModelLayout& layout() const override { return weights_.layout(); }
  std::string path() const override { return weights_.path(); }
  Result<MatrixPtr> matrix(LinearId id) const override { return id == id_ ? matrix_ : weights_.matrix(id); }
  Result<std::vector<float>> bias(LinearId id) const override { return weights_.bias(id); }
  Result<std::vector<float>> vector(VectorId id) const override { return weights_.vector(id); }

 private:
  const ModelWeights& weights_;
  LinearId id_;
  MatrixPtr matrix_;
};

/// The error of plain rounding, by the same measure, from a run in which nothing is searched.
std::map<LinearId, double> rounding_errors(const ModelWeights& weights, const CalibrationTokens& tokens,
                                           const QuantScheme& scheme, ThreadPool& pool) {
  std::map<LinearId, double> out;
  const QuantizeLinears keep = [&](std::span<const LinearId> linears,
                                   const InputGram& gram) -> Result<std::vector<MatrixPtr>> {
    std::vector<MatrixPtr> originals;
    for (const LinearId id : linears) {
      originals.push_back(weights.matrix(id).value());
      std::vector<float> w = weights_as_floats(*originals.back(), pool).value();
      const MatrixPtr rounded = quantize_rtn(originals.back(), scheme, {}, pool).value();
      std::vector<float> e = weights_as_floats(*rounded, pool).value();
      for (std::size_t i = 0; i < e.size(); ++i) e[i] = w[i] - e[i];
      const auto outputs = [&](const std::vector<float>& m) {
        double sum = 0;
        for (std::size_t row = 0; row < m.size(); row += static_cast<std::size_t>(gram.cols))
          for (std::int64_t i = 0; i < gram.cols; ++i)
            for (std::int64_t j = 0; j < gram.cols; ++j)
              sum += static_cast<double>(m[row + static_cast<std::size_t>(i)]) *
                     static_cast<double>(m[row + static_cast<std::size_t>(j)]) *
                     gram.sums[static_cast<std::size_t>(std::min(i, j) * gram.cols + std::max(i, j))];
        return sum;
      };
      out[id] = outputs(e) / outputs(w);
    }
    return originals;
  };
  EXPECT_TRUE(stream_blocks(weights, tokens, keep, {}, pool).ok());
  return out;
}

/// A run and what it finished.
struct Awq : AwqModel {
  std::map<LinearId, FinishedLinear> linears;
};

Result<Awq> run_awq(const ModelWeights& weights, const CalibrationTokens& tokens, const QuantScheme& scheme,
                    ThreadPool& pool) {
  FinishedLinears finished(weights.layout(), nullptr);
  NIBBLE_TRY(AwqModel model, awq_matrices(weights, tokens, scheme, {}, {}, finished, pool));
  return Awq{std::move(model), finished.all()};
}

class AwqModels : public testing::TestWithParam<const char*> {};

TEST_P(AwqModels, IsBetterThanRounding) {
  const ModelFiles::Ptr files = open_golden(GetParam());
  ThreadPool pool(2);
  const CalibrationTokens tokens = random_tokens(*files, 20, 32);
  for (const char* name : {"int4-g16-asym", "int3-g16-sym"}) {
    SCOPED_TRACE(name);
    const QuantScheme scheme = parse_scheme(name).value();
    const Result<Awq> awq = run_awq(*files, tokens, scheme, pool);
    ASSERT_TRUE(awq.ok()) << awq.error().message;
    const std::map<LinearId, double> rtn = rounding_errors(*files, tokens, scheme, pool);
    ASSERT_EQ(awq->linears.size(), rtn.size());
    double sum_awq = 0;
    double sum_rtn = 0;
    for (const auto& [id, linear] : awq->linears) {
      sum_awq += linear.error.value();
      sum_rtn += rtn.at(id);
      EXPECT_NEAR(linear.rtn_error.value(), rtn.at(id), 1e-3 * rtn.at(id));
      EXPECT_EQ(linear.matrix->scheme(), scheme);
    }
    EXPECT_LT(sum_awq, 0.95 * sum_rtn);
    ASSERT_EQ(awq->points.size(), 4 * files->layout().blocks.size());
    for (const AwqPoint& point : awq->points) EXPECT_LE(point.loss, 1.0) << point.name;
  }
}

/// What was quantized is the scaled model: its 8-bit matrices with its norms and biases compute the same.
TEST_P(AwqModels, MatricesAndChangesBelongTogether) {
  const ModelFiles::Ptr files = open_golden(GetParam());
  ThreadPool pool(2);
  const Awq awq =
      run_awq(*files, random_tokens(*files, 20, 32), parse_scheme("int8-g16-asym-scale:f32").value(), pool).value();
  class Quantized final : public ModelWeights {
   public:
    explicit Quantized(const Awq& model) : model_(model) {}
    const ModelConfig& config() const override { return model_.folded->config(); }
    const ModelLayout& layout() const override { return model_.folded->layout(); }
    std::string path() const override { return model_.folded->path(); }
    Result<MatrixPtr> matrix(LinearId id) const override {
      const auto found = model_.linears.find(id);
      return found != model_.linears.end() ? found->second.matrix : model_.folded->matrix(id);
    }
    Result<std::vector<float>> bias(LinearId id) const override { return model_.folded->bias(id); }
    Result<std::vector<float>> vector(VectorId id) const override { return model_.folded->vector(id); }

   private:
    const Awq& model_;
  };
  const std::vector<float> expected = logits_of(files);
  const std::vector<float> logits = logits_of(std::make_shared<Quantized>(awq));
  double squares = 0;
  double errors = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    squares += std::pow(static_cast<double>(expected[i]), 2);
    errors += std::pow(static_cast<double>(expected[i]) - static_cast<double>(logits[i]), 2);
  }
  // 8 bits cost up to 0.04 on these models of random weights, norms that do not belong to the matrices 0.6 and more.
  EXPECT_LT(std::sqrt(errors / squares), 0.1);
  EXPECT_LT(relative_difference(logits_of(awq.folded), expected), 1e-4f);
}

INSTANTIATE_TEST_SUITE_P(Golden, AwqModels, testing::ValuesIn(kGoldenModels), golden_test_name);

TEST(AwqRuns, ThreadsChangeNoByte) {
  const ModelFiles::Ptr files = open_golden("qwen2");
  const QuantScheme scheme = parse_scheme("int4-g16-asym").value();
  std::vector<Awq> made;
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    made.push_back(run_awq(*files, random_tokens(*files, 20, 32), scheme, pool).value());
  }
  for (std::size_t i = 1; i < made.size(); ++i) {
    EXPECT_EQ(made[i].folded->changes().vectors, made[0].folded->changes().vectors);
    EXPECT_EQ(made[i].folded->changes().biases, made[0].folded->changes().biases);
    for (const auto& [id, linear] : made[0].linears) {
      QuantizedMatrix a;
      QuantizedMatrix b;
      ASSERT_TRUE(linear.matrix->decode(0, linear.matrix->rows(), a).ok());
      ASSERT_TRUE(made[i].linears.at(id).matrix->decode(0, linear.matrix->rows(), b).ok());
      EXPECT_EQ(a.codes, b.codes);
      EXPECT_EQ(a.scale, b.scale);
      EXPECT_EQ(a.zero, b.zero);
      EXPECT_EQ(linear.error, made[i].linears.at(id).error);
    }
  }
}

/// NaN weights make every later input NaN: those linears are rounded to nearest, unscaled.
TEST(AwqRuns, StatisticsOfNoUse) {
  const ModelFiles::Ptr files = open_golden("llama");
  const BlockLayout& block = files->layout().blocks.front();
  const Damaged damaged(*files, block.o_proj, [](std::vector<float>& values) {
    for (float& value : values) value = std::numeric_limits<float>::quiet_NaN();
  });
  ThreadPool pool(2);
  const QuantScheme scheme = parse_scheme("int4-g16-asym").value();
  const Result<Awq> awq = run_awq(damaged, random_tokens(*files, 20, 32), scheme, pool);
  ASSERT_TRUE(awq.ok()) << awq.error().message;
  EXPECT_EQ(awq->points.size(), 2u) << "the inputs of q, k, v and o are numbers";
  const MatrixPtr rounded = quantize_rtn(files->matrix(block.down_proj).value(), scheme, {}, pool).value();
  QuantizedMatrix expected;
  QuantizedMatrix got;
  ASSERT_TRUE(rounded->decode(0, rounded->rows(), expected).ok());
  ASSERT_TRUE(awq->linears.at(block.down_proj).matrix->decode(0, rounded->rows(), got).ok());
  EXPECT_EQ(got.codes, expected.codes);
  EXPECT_EQ(got.scale, expected.scale);
}

/// Channels that are never used keep their scale, and all others get theirs.
TEST(AwqRuns, DeadChannels) {
  const ModelFiles::Ptr files = open_golden("llama");
  const BlockLayout& block = files->layout().blocks.front();
  const std::int64_t cols = files->layout().linears[static_cast<std::size_t>(block.up_proj)].cols;
  const Damaged damaged(*files, block.up_proj, [&](std::vector<float>& values) {
    std::fill(values.begin(), values.begin() + 3 * cols, 0.0f);  // three channels of down's input are 0
  });
  ThreadPool pool(2);
  const QuantScheme scheme = parse_scheme("int3-g16-asym").value();
  const Result<Awq> awq = run_awq(damaged, random_tokens(*files, 20, 32), scheme, pool);
  ASSERT_TRUE(awq.ok()) << awq.error().message;
  const std::span<const float> factors = awq->folded->column_factors(block.down_proj);
  ASSERT_FALSE(factors.empty()) << "some scales are better than none";
  for (std::size_t c = 0; c < 3; ++c) EXPECT_EQ(factors[c], 1.0f);
  EXPECT_TRUE(std::isfinite(awq->linears.at(block.down_proj).error.value()));
}

TEST(AwqRuns, RefusesWhatItCannotMake) {
  const ModelFiles::Ptr files = open_golden("llama");
  ThreadPool pool(1);
  for (const char* name :
       {"nf4-g64", "codebook4-row", "int4-tensor", "fp8-e4m3-channel", "int8-block128x128", "ternary-g32"}) {
    const auto awq = run_awq(*files, random_tokens(*files, 20, 32), parse_scheme(name).value(), pool);
    ASSERT_FALSE(awq.ok()) << name;
    EXPECT_EQ(awq.error().code, ErrorCode::kUnsupported);
    EXPECT_NE(awq.error().message.find("awq cannot make"), std::string::npos) << awq.error().message;
  }
}

/// The scaled model quantized by error feedback.
TEST(AwqRuns, GptqRunsOnTheScaledModel) {
  const ModelFiles::Ptr files = open_golden("qwen3");
  ThreadPool pool(2);
  const QuantScheme scheme = parse_scheme("int4-g16-asym").value();
  const CalibrationTokens tokens = random_tokens(*files, 20, 32);
  const AwqModel scaled = awq_scaled_model(*files, tokens, scheme, {}, nullptr, pool).value();
  const Awq awq = run_awq(*files, tokens, scheme, pool).value();
  EXPECT_EQ(scaled.folded->changes().vectors, awq.folded->changes().vectors);
  FinishedLinears gptq(files->layout(), nullptr);
  ASSERT_TRUE(gptq_matrices(*scaled.folded, tokens, scheme, {}, {}, gptq, pool).ok());
  double sum_gptq = 0;
  double sum_awq = 0;
  for (const auto& [id, linear] : gptq.all()) {
    sum_gptq += linear.error.value();
    sum_awq += awq.linears.at(id).error.value();
  }
  EXPECT_LT(sum_gptq, sum_awq);
}

}  // namespace
}  // namespace nibble
