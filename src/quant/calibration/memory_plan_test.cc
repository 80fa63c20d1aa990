// The plan counts what comes after calibration too.
#include "quant/calibration/memory_plan.h"

#include <gtest/gtest.h>

#include "base/process_memory.h"
#include "quant/testing/golden_models.h"

namespace nibble {
namespace {

/// A model whose logits are large.
class LargeVocabulary final : public ModelWeights {
 public:
  explicit LargeVocabulary(const ModelFiles& files) : files_(files), config_(files.config()) {
    config_.vocab_size = 1 << 20;
  }
  const ModelConfig& config() const override { return config_; }
  const ModelLayout& layout() const override { return files_.layout(); }
  std::string path() const override { return files_.path(); }
  Result<MatrixPtr> matrix(LinearId id) const override { return files_.matrix(id); }
  Result<std::vector<float>> bias(LinearId id) const override { return files_.bias(id); }
  Result<std::vector<float>> vector(VectorId id) const override { return files_.vector(id); }
  Status check_intact() const override { return files_.check_intact(); }
  void release() const override { files_.release(); }

 private:
  const ModelFiles& files_;
  ModelConfig config_;
};

TEST(MemoryPlan, LogitsOfBothModelsAreCountedWithAReport) {
  const ModelFiles::Ptr files = open_golden("llama");
  const LargeVocabulary weights(*files);
  MemoryNeeds needs{resident_bytes() + 300'000'000, 32, 0, 0};
  EXPECT_TRUE(plan_memory(weights, needs, "out").ok());
  needs.report_window = 32;
  const auto refused = plan_memory(weights, needs, "out");
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("--report off"), std::string::npos) << refused.error().message;
  needs.max_memory += 500'000'000;
  EXPECT_TRUE(plan_memory(weights, needs, "out").ok());
}

}  // namespace
}  // namespace nibble
