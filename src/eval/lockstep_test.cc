// Scores of single positions against values computed by hand in double precision.
#include "eval/lockstep.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

namespace nibble {
namespace {

TEST(ScorePosition, MatchesTheDefinition) {
  const std::array<float, 4> q{1.0f, -2.0f, 0.5f, 3.0f};
  const std::array<float, 4> p{0.0f, 1.0f, 2.0f, 2.5f};
  const auto probabilities = [](const std::array<float, 4>& x) {
    std::array<double, 4> out{};
    double sum = 0;
    for (std::size_t i = 0; i < 4; ++i) sum += out[i] = std::exp(static_cast<double>(x[i]));
    for (double& v : out) v /= sum;
    return out;
  };
  const auto pq = probabilities(q);
  const auto pp = probabilities(p);
  double kld = 0;
  for (std::size_t i = 0; i < 4; ++i) kld += pp[i] * std::log(pp[i] / pq[i]);
  const PositionScore score = score_position(q.data(), p.data(), 4, 2);
  EXPECT_NEAR(score.nll, -std::log(pq[2]), 1e-6);
  EXPECT_NEAR(score.baseline_nll, -std::log(pp[2]), 1e-6);
  EXPECT_NEAR(score.kld, kld, 1e-6);
  EXPECT_TRUE(score.same_top);
  const PositionScore same = score_position(p.data(), p.data(), 4, 0);
  EXPECT_NEAR(same.kld, 0.0, 1e-7);
}

TEST(ScorePosition, SurvivesHugeLogits) {
  const std::array<float, 3> q{1e4f, -1e4f, 0.0f};
  const PositionScore score = score_position(q.data(), q.data(), 3, 1);
  EXPECT_NEAR(score.nll, 2e4, 1.0);
  EXPECT_EQ(score.kld, 0.0);
}

}  // namespace
}  // namespace nibble
