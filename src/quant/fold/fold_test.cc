// Folding alone changes no output, on every architecture; what is stored is stored exactly.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "base/half.h"
#include "quant/fold/fold_test_support.h"

namespace nibble {
namespace {

class Fold : public testing::TestWithParam<const char*> {};

TEST_P(Fold, ChangesNoLogit) {
  const ModelFiles::Ptr files = open_golden(GetParam());
  const std::vector<float> expected = logits_of(files);
  std::mt19937 random(11);
  // Each kind of point by itself, then all of them.
  for (std::size_t only = 0; only <= 4; ++only) {
    const auto folded = std::make_shared<FoldedWeights>(*files);
    for (const BlockLayout& block : files->layout().blocks) {
      const std::vector<FoldPoint> points = fold_points(files->config(), block);
      ASSERT_EQ(points.size(), 4u);
      for (std::size_t i = 0; i < points.size(); ++i) {
        if (only != 4 && only != i) continue;
        ASSERT_TRUE(folded->fold(points[i], random_scales(points[i].channels, random)).ok());
      }
    }
    const float difference = relative_difference(logits_of(folded), expected);
    EXPECT_LT(difference, 1e-4f) << "point " << only;
    EXPECT_GT(difference, 0.0f) << "point " << only << ": nothing was scaled";
  }
}

/// Norms and biases are numbers of bfloat16, so a checkpoint of any float type keeps them; scales stay near.
TEST_P(Fold, SettlesWhereNothingIsRounded) {
  const ModelFiles::Ptr files = open_golden(GetParam());
  std::mt19937 random(12);
  FoldedWeights folded(*files);
  for (const FoldPoint& point : fold_points(files->config(), files->layout().blocks.front())) {
    const std::vector<float> wanted = random_scales(point.channels, random);
    const std::vector<float> settled = folded.settled(point, wanted).value();
    int near = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      EXPECT_TRUE(settled[i] == 1.0f || std::fabs(settled[i] / wanted[i] - 1) <= 1.0f);
      near += std::fabs(settled[i] / wanted[i] - 1) <= 0.01f ? 1 : 0;
    }
    EXPECT_GE(near, static_cast<int>(wanted.size()) * 3 / 4);
    ASSERT_TRUE(folded.fold(point, settled).ok());
    const std::span<const float> columns = folded.column_factors(point.linears.front());
    for (std::size_t c = 0; c < columns.size(); ++c)
      EXPECT_EQ(columns[c], settled[static_cast<std::size_t>(point.channel(static_cast<std::int64_t>(c)))])
          << "settled scales stay";
  }
  for (const auto& [id, values] : folded.changes().vectors)
    for (const float value : values) EXPECT_EQ(value, bf16_to_f32(f32_to_bf16(value)));
  for (const auto& [id, values] : folded.changes().biases)
    for (const float value : values) EXPECT_EQ(value, bf16_to_f32(f32_to_bf16(value)));
  EXPECT_EQ(folded.changes().vectors.size(), 2u);
  EXPECT_EQ(folded.changes().biases.size(), files->config().attention_bias ? 1u : 0u);
}

/// A model all of whose block linears have a bias.
class Biased final : public ModelWeights {
 public:
  explicit Biased(ModelWeights::Ptr weights) : weights_(std::move(weights)) {}
  const ModelConfig& config() const override { return weights_->config(); }
  const ModelLayout& layout() const override { return weights_->layout(); }
  std::string path() const override { return weights_->path(); }
  Result<MatrixPtr> matrix(LinearId id) const override { return weights_->matrix(id); }
  Result<std::vector<float>> vector(VectorId id) const override { return weights_->vector(id); }
  Result<std::vector<float>> bias(LinearId id) const override {
    const LinearInfo& info = layout().linears[static_cast<std::size_t>(id)];
    if (info.role != LinearInfo::Role::kBlock) return std::vector<float>{};
    std::vector<float> out(static_cast<std::size_t>(info.rows));
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = i % 7 == 0 ? 0.0f : std::sin(static_cast<float>(i + 3)) / 3;
    return out;
  }

 private:
  ModelWeights::Ptr weights_;
};

TEST(FoldedBiases, FollowTheirRows) {
  const auto biased = std::make_shared<Biased>(open_golden("llama"));
  const auto folded = std::make_shared<FoldedWeights>(*biased);
  std::mt19937 random(14);
  for (const BlockLayout& block : biased->layout().blocks)
    for (const FoldPoint& point : fold_points(biased->config(), block))
      ASSERT_TRUE(folded->fold(point, random_scales(point.channels, random)).ok());
  EXPECT_EQ(folded->changes().biases.size(), 2 * biased->layout().blocks.size()) << "of v and of up";
  EXPECT_LT(relative_difference(logits_of(folded), logits_of(biased)), 1e-4f);
}

INSTANTIATE_TEST_SUITE_P(Golden, Fold, testing::ValuesIn(kGoldenModels), golden_test_name);

}  // namespace
}  // namespace nibble
