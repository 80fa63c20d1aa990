// Writers store the changed norms and biases under the right names, in the right order and type.
#include <gtest/gtest.h>

#include "io/container_test_support.h"
#include "quant/choose_targets.h"
#include "quant/fold/fold_test_support.h"

namespace nibble {
namespace {

class FoldOutput : public FolderTest, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    files_ = open_golden(GetParam());
    folded_ = std::make_shared<FoldedWeights>(*files_);
    std::mt19937 random(13);
    for (const BlockLayout& block : files_->layout().blocks)
      for (const FoldPoint& point : fold_points(files_->config(), block))
        ASSERT_TRUE(folded_->fold(point, random_scales(point.channels, random)).ok());
  }

  /// The folded model in float32, opened again.
  ModelFiles::Ptr written(const ModelFiles& source, const std::string& to, const std::string& name) const {
    ThreadPool pool(2);
    const OutputFormat format = choose_output_format(to, name, nullptr).value();
    const auto targets =
        method_targets(source, QuantScheme::of_float(ElementType::kF32), nullptr, true, format, folded_.get());
    EXPECT_TRUE(targets.ok()) << targets.error().message;
    OutputOptions options;
    options.changes = folded_->changes();
    options.float_type = ElementType::kF32;
    const auto report = format.gguf ? write_gguf(source, *targets, root_ / name, options, pool)
                                    : write_folder(source, *targets, root_ / name, options, pool);
    EXPECT_TRUE(report.ok()) << report.error().message;
    return ModelFiles::open(root_ / name).value();
  }

  ModelFiles::Ptr files_;
  std::shared_ptr<FoldedWeights> folded_;
};

TEST_P(FoldOutput, AFolderIsTheFoldedModel) {
  const ModelFiles::Ptr again = written(*files_, "hf:f32", "folder");
  EXPECT_EQ(relative_difference(logits_of(again), logits_of(folded_)), 0.0f);
  EXPECT_LT(relative_difference(logits_of(again), logits_of(files_)), 1e-4f);
  for (const auto& [id, values] : folded_->changes().vectors) EXPECT_EQ(again->vector(id).value(), values);
}

TEST_P(FoldOutput, AGgufFileIsTheFoldedModel) {
  const std::string name = GetParam();
  if (name == "gemma3" || name == "mistral-window") GTEST_SKIP() << "GGUF has no key for this pattern of windows";
  const ModelFiles::Ptr again = written(*files_, "gguf:f32", "m.gguf");
  EXPECT_LT(relative_difference(logits_of(again), logits_of(files_)), 1e-4f);
  // And from a GGUF file, whose vectors go by other names.
  const ModelFiles::Ptr plain = written(*again, "hf:f32", "of_gguf");
  for (const auto& [id, values] : folded_->changes().vectors) EXPECT_EQ(plain->vector(id).value(), values);
  for (const auto& [id, values] : folded_->changes().biases) EXPECT_EQ(plain->bias(id).value(), values);
}

/// A bfloat16 checkpoint keeps its norms' type, and no norm is rounded.
TEST_P(FoldOutput, NormsKeepTheirTypeExactly) {
  ThreadPool pool(2);
  const OutputFormat format = choose_output_format("hf:bf16", "bf16", nullptr).value();
  OutputOptions options;
  options.convert_plain = true;
  options.float_type = ElementType::kBf16;
  const std::vector<MatrixTarget> targets = conversion_targets(*files_, format, false, pool).value();
  ASSERT_TRUE(write_folder(*files_, targets, root_ / "bf16", options, pool).ok());
  const ModelFiles::Ptr source = ModelFiles::open(root_ / "bf16").value();
  folded_ = std::make_shared<FoldedWeights>(*source);
  std::mt19937 random(15);
  for (const FoldPoint& point : fold_points(source->config(), source->layout().blocks.front()))
    ASSERT_TRUE(folded_->fold(point, random_scales(point.channels, random)).ok());
  const ModelFiles::Ptr again = written(*source, "hf:f32", "folder");
  for (const auto& [id, values] : folded_->changes().vectors) {
    EXPECT_EQ(again->vector(id).value(), values);
    const std::string& name = source->layout().vectors[static_cast<std::size_t>(id)].name;
    EXPECT_EQ(again->checkpoint().tensors().find(name)->element, ElementType::kBf16);
  }
  for (const auto& [id, values] : folded_->changes().biases) EXPECT_EQ(again->bias(id).value(), values);
}

INSTANTIATE_TEST_SUITE_P(Golden, FoldOutput, testing::ValuesIn(kGoldenModels), golden_test_name);

}  // namespace
}  // namespace nibble
