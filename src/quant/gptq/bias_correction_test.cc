// Bias correction in whole runs over a small Qwen 2: what each method leaves in the biases, and that a journal keeps
// it.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <functional>
#include <map>

#include "io/container_test_support.h"
#include "quant/awq/awq_matrices.h"
#include "quant/gptq/gptq_matrices.h"
#include "quant/gptq/output_bias.h"
#include "quant/testing/golden_models.h"
#include "quant/weights_as_floats.h"
#include "quant/wnam/wnam_by_gradients.h"

namespace nibble {
namespace {

class BiasCorrection : public FolderTest {
 protected:
  const LinearInfo& info(LinearId id) const { return files_->layout().linears[static_cast<std::size_t>(id)]; }
  std::array<LinearId, 3> first_linears() const {
    const BlockLayout& block = files_->layout().blocks[0];
    return {block.q_proj, block.k_proj, block.v_proj};
  }

  /// E[x] of the first block's q, k and v, which nothing quantized comes before.
  std::vector<double> first_means() {
    std::vector<double> means;
    const QuantizeLinears keep = [&](std::span<const LinearId> linears,
                                     const InputGram& gram) -> Result<std::vector<MatrixPtr>> {
      if (means.empty())
        for (const double sum : gram.plain_sums) means.push_back(sum / static_cast<double>(gram.tokens));
      std::vector<MatrixPtr> out;
      for (const LinearId id : linears) out.push_back(files_->matrix(id).value());
      return out;
    };
    EXPECT_TRUE(stream_blocks(*files_, tokens_, keep, {}, pool_).ok());
    return means;
  }

  /// Mean outputs of the first block's q, k and v are those of `weights`, which is the model with its channels scaled
  /// or not; inputs are divided by `factors`.
  void expect_mean_outputs(const ModelWeights& weights, const FinishedLinears& finished,
                           const std::function<std::span<const float>(LinearId)>& factors) {
    const std::vector<double> means = first_means();
    for (const LinearId id : first_linears()) {
      SCOPED_TRACE(info(id).name);
      const FinishedLinear& linear = finished.all().at(id);
      const std::vector<float> own = weights.bias(id).value();
      ASSERT_EQ(linear.bias.size(), own.size());
      const std::vector<float> w = weights_as_floats(*weights.matrix(id).value(), pool_).value();
      const std::vector<float> q = weights_as_floats(*linear.matrix, pool_).value();
      const std::span<const float> divisors = factors(id);
      double moved = 0;
      for (std::size_t r = 0; r < own.size(); ++r) {
        double original = static_cast<double>(own[r]);
        double corrected = static_cast<double>(linear.bias[r]);
        for (std::size_t c = 0; c < means.size(); ++c) {
          const double mean = divisors.empty() ? means[c] : means[c] / static_cast<double>(divisors[c]);
          original += static_cast<double>(w[r * means.size() + c]) * mean;
          corrected += static_cast<double>(q[r * means.size() + c]) * mean;
        }
        EXPECT_NEAR(corrected, original, 1e-5 * (1 + std::fabs(original)));
        moved = std::max(moved, std::fabs(static_cast<double>(linear.bias[r] - own[r])));
      }
      EXPECT_GT(moved, 1e-3) << "there was something to correct";
    }
    // What has no bias gets none.
    EXPECT_TRUE(finished.all().at(files_->layout().blocks[0].o_proj).bias.empty());
    EXPECT_EQ(finished.bias(files_->layout().blocks[1].down_proj), nullptr);
  }
  static std::span<const float> no_factors(LinearId) { return {}; }

  ModelFiles::Ptr files_ = open_golden("qwen2");
  CalibrationTokens tokens_ = random_tokens(*files_, 20, 32);
  ThreadPool pool_{2};
  LinearSchemes schemes_{parse_scheme("int2-g16-asym").value()};
};

TEST_F(BiasCorrection, Gptq) {
  for (const bool act_order : {false, true}) {
    GptqSettings settings;
    settings.bias_correction = true;
    settings.act_order = act_order;
    FinishedLinears finished(files_->layout(), nullptr);
    ASSERT_TRUE(gptq_matrices(*files_, tokens_, schemes_, settings, {}, finished, pool_).ok());
    expect_mean_outputs(*files_, finished, no_factors);
    settings.bias_correction = false;
    FinishedLinears plain(files_->layout(), nullptr);
    ASSERT_TRUE(gptq_matrices(*files_, tokens_, schemes_, settings, {}, plain, pool_).ok());
    EXPECT_EQ(plain.bias(first_linears()[0]), nullptr);
  }
}

TEST_F(BiasCorrection, Wnam) {
  const LinearSchemes codebooks(parse_scheme("codebook2-row-g16").value());
  WnamSettings settings;
  settings.bias_correction = true;
  FinishedLinears finished(files_->layout(), nullptr);
  ASSERT_TRUE(wnam_matrices(*files_, tokens_, codebooks, settings, {}, finished, pool_).ok());
  expect_mean_outputs(*files_, finished, no_factors);
  FinishedLinears by_gradients(files_->layout(), nullptr);
  ASSERT_TRUE(wnam_matrices_by_gradients(*files_, tokens_, codebooks, settings, 0, {}, by_gradients, pool_).ok());
  expect_mean_outputs(*files_, by_gradients, no_factors);
}

TEST_F(BiasCorrection, AwqScalesIt) {
  AwqSettings settings;
  settings.bias_correction = true;
  FinishedLinears finished(files_->layout(), nullptr);
  const AwqModel model = awq_matrices(*files_, tokens_, schemes_, settings, {}, finished, pool_).value();
  EXPECT_FALSE(model.folded->column_factors(first_linears()[0]).empty());
  expect_mean_outputs(*model.folded, finished, [&](LinearId id) { return model.folded->column_factors(id); });
}

TEST_F(BiasCorrection, InputsOfNoUseLeaveBiases) {
  InputGram gram(32);
  EXPECT_TRUE(mean_inputs(gram).empty()) << "no inputs";
  gram.add(std::vector<float>(64, 0.0f), pool_);
  EXPECT_TRUE(mean_inputs(gram).empty()) << "all 0";
  gram.add(std::vector<float>(32, 3.0f), pool_);
  EXPECT_EQ(mean_inputs(gram), std::vector<float>(32, 1.0f));
  gram.add(std::vector<float>(32, NAN), pool_);
  EXPECT_TRUE(mean_inputs(gram).empty());
}

TEST_F(BiasCorrection, TheJournalKeepsIt) {
  const std::filesystem::path out = root_ / "out";
  const Json run = {{"method", "gptq"}};
  GptqSettings settings;
  settings.bias_correction = true;
  std::map<LinearId, std::vector<float>> biases;
  {
    FinishedLinears finished(files_->layout(), Journal::open(out, run, false).value());
    ASSERT_TRUE(gptq_matrices(*files_, tokens_, schemes_, settings, {}, finished, pool_).ok());
    for (const auto& [id, linear] : finished.all()) biases[id] = linear.bias;
  }
  FinishedLinears again(files_->layout(), Journal::open(out, run, true).value());
  for (const LinearId id : first_linears()) {
    ASSERT_TRUE(again.recorded(std::span(&id, 1)));
    ASSERT_NE(again.bias(id), nullptr);
    EXPECT_EQ(*again.bias(id), biases.at(id)) << "to the bit";
  }
  QuantizedMatrix matrix;
  const LinearId id = first_linears()[0];
  const MatrixPtr source = again.all().at(id).matrix;
  ASSERT_TRUE(source->decode(0, source->rows(), matrix).ok());
  ASSERT_TRUE(again.journal()->put(info(id).name, std::move(matrix), {{"bias", {1, 2}}}).ok());
  EXPECT_FALSE(again.recorded(std::span(&id, 1))) << "a bias of another length";
  again.journal()->remove();
}

}  // namespace
}  // namespace nibble
