// Block by block against the engine's own evaluation.
#include "quant/calibration/block_evaluation.h"

#include <gtest/gtest.h>

#include <random>

#include "eval/lockstep.h"
#include "model/model_files.h"
#include "quant/rtn/rtn.h"

namespace nibble {
namespace {

/// A model whose block linears are rounded to few bits.
class Rounded final : public ModelWeights {
 public:
  Rounded(const ModelWeights& original, QuantScheme scheme, ThreadPool& pool)
      : original_(original), scheme_(std::move(scheme)), pool_(pool) {}
  const ModelConfig& config() const override { return original_.config(); }
  const ModelLayout& layout() const override { return original_.layout(); }
  std::string path() const override { return original_.path(); }
  Result<MatrixPtr> matrix(LinearId id) const override {
    NIBBLE_TRY(MatrixPtr stored, original_.matrix(id));
    if (layout().linears[static_cast<std::size_t>(id)].role != LinearInfo::Role::kBlock) return stored;
    return quantize_rtn(std::move(stored), scheme_, {}, pool_);
  }
  Result<std::vector<float>> bias(LinearId id) const override { return original_.bias(id); }
  Result<std::vector<float>> vector(VectorId id) const override { return original_.vector(id); }

 private:
  const ModelWeights& original_;
  QuantScheme scheme_;
  ThreadPool& pool_;
};

TEST(BlockEvaluation, SaysWhatTheEngineSays) {
  for (const char* name : {"llama", "llama-tied", "qwen2", "qwen3", "gemma3", "mistral-window"}) {
    SCOPED_TRACE(name);
    const ModelFiles::Ptr files =
        ModelFiles::open(std::filesystem::path(NIBBLE_SOURCE_DIR) / "tests/golden/models" / name).value();
    const auto pool = std::make_shared<ThreadPool>(2);
    const auto rounded = std::make_shared<Rounded>(*files, parse_scheme("int3-g16-sym").value(), *pool);
    std::mt19937 random(5);
    CalibrationTokens tokens;
    tokens.window = 40;
    for (std::int64_t i = 0; i < 90 * tokens.window; ++i)  // more than a slice
      tokens.ids.push_back(static_cast<std::int32_t>(random() % static_cast<unsigned>(files->config().vocab_size)));

    CpuExecutor::Options options;
    options.compute = kernel::Compute::kF32;
    CpuExecutor original(CpuModel::load(files, {}, *pool).value(), pool, options);
    CpuExecutor model(CpuModel::load(rounded, {}, *pool).value(), pool, options);
    const Evaluation expected =
        evaluate_windows(model, baseline_of(original).get(), nullptr, tokens.ids, tokens.window, nullptr).value();
    const Result<Evaluation> got = evaluate_blocks(*rounded, *files, tokens, {}, nullptr, *pool);
    ASSERT_TRUE(got.ok()) << got.error().message;
    EXPECT_EQ(got->windows, 90);
    EXPECT_EQ(got->tokens, expected.tokens);
    EXPECT_NEAR(got->perplexity, expected.perplexity, 1e-5 * expected.perplexity);
    EXPECT_NEAR(got->perplexity_stderr, expected.perplexity_stderr, 1e-4 * expected.perplexity_stderr);
    EXPECT_NEAR(got->comparison->baseline_perplexity, expected.comparison->baseline_perplexity,
                1e-5 * expected.perplexity);
    EXPECT_GT(got->comparison->kld_mean, 0);
    EXPECT_NEAR(got->comparison->kld_mean, expected.comparison->kld_mean, 1e-4 * expected.comparison->kld_mean);
    EXPECT_NEAR(got->comparison->top1_agreement, expected.comparison->top1_agreement, 2e-3);
  }
}

}  // namespace
}  // namespace nibble
