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

INSTANTIATE_TEST_SUITE_P(Golden, Fold, testing::ValuesIn(kGoldenModels), golden_test_name);

}  // namespace
}  // namespace nibble
