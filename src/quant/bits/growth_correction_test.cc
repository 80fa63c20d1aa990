// A model whose true growths are known: what predictions lack is found by measuring.
#include "quant/bits/growth_correction.h"

#include <gtest/gtest.h>

#include <cmath>

namespace nibble {
namespace {

constexpr int kLayers = 7;

std::vector<BitUnit> some_units() {
  std::vector<BitUnit> units;
  for (int layer = 0; layer < kLayers; ++layer)
    for (const BitUnit::Kind kind :
         {BitUnit::Kind::kQueryKeyValue, BitUnit::Kind::kAttentionOutput, BitUnit::Kind::kGateUp, BitUnit::Kind::kDown})
      units.push_back({kind, layer, {}});
  units.push_back({BitUnit::Kind::kEmbedding, -1, {}});
  units.push_back({BitUnit::Kind::kHead, -1, {}});
  return units;
}

/// 2, 3, 4 and 8 bits; each bit less quadruples the prediction.
std::vector<UnitChoices> some_choices(std::size_t units) {
  std::vector<UnitChoices> out(units);
  for (std::size_t u = 0; u < units; ++u)
    for (const double bits : {2.0, 3.0, 4.0, 8.0})
      out[u].push_back({{}, bits, 0, (1.0 + static_cast<double>(u % 5)) * std::pow(4.0, -bits)});
  return out;
}

TEST(GrowthCorrection, FindsFactorsAndExponents) {
  const std::vector<BitUnit> units = some_units();
  const std::vector<UnitChoices> predicted = some_choices(units.size());
  // True are a factor for each kind and third of the blocks, and an exponent for each kind.
  const auto truth = [&](std::size_t u, std::size_t c) {
    const auto kind = static_cast<double>(units[u].kind);
    const int part = units[u].layer < 0 ? 0 : units[u].layer * 3 / kLayers;
    const double factor = (1.0 + kind) * std::pow(2.0, part);
    const double near = predicted[u][2].growth;
    return factor * near * std::pow(predicted[u][c].growth / near, 0.8 + 0.1 * kind);
  };
  int measured = 0;
  const MeasureSubstitution measure = [&](const Substitution& substitution) -> Result<double> {
    ++measured;
    double sum = 0;
    for (const auto& [unit, choice] : substitution) sum += truth(unit, choice);
    return sum;
  };
  std::vector<UnitChoices> choices = predicted;
  const auto substitutions = correct_growth(units, 4.1, measure, choices);
  ASSERT_TRUE(substitutions.ok());
  EXPECT_EQ(static_cast<int>(substitutions->size()), measured);
  EXPECT_LE(measured, 20);
  for (std::size_t u = 0; u < units.size(); ++u)
    for (std::size_t c = 0; c < choices[u].size(); ++c)
      EXPECT_NEAR(choices[u][c].growth, truth(u, c), 1e-6 * truth(u, c)) << u << ", " << c;
}

TEST(GrowthCorrection, NamesTheBlocksOfEachPart) {
  const std::vector<BitUnit> units = some_units();
  std::vector<UnitChoices> choices = some_choices(units.size());
  const auto measured = correct_growth(
      units, 4.1, [](const Substitution&) -> Result<double> { return 1.0; }, choices);
  ASSERT_TRUE(measured.ok());
  std::vector<std::string> down;
  for (const MeasuredSubstitution& one : *measured)
    if (one.what.starts_with("down of")) down.push_back(one.what);
  EXPECT_EQ(down,
            (std::vector<std::string>{"down of blocks 0 to 2", "down of blocks 3 to 4", "down of blocks 5 to 6"}));
}

/// Divergences that are no finite power of the prediction, zeros, and units with a single choice.
TEST(GrowthCorrection, StaysWithinReason) {
  const std::vector<BitUnit> units = some_units();
  std::vector<UnitChoices> choices = some_choices(units.size());
  choices[3].resize(1);
  for (UnitChoice& choice : choices[4]) choice.growth = 0;
  const std::vector<UnitChoices> predicted = choices;
  for (const double answer : {0.0, 1e-9, 50.0}) {
    choices = predicted;
    const MeasureSubstitution measure = [&](const Substitution&) -> Result<double> { return answer; };
    ASSERT_TRUE(correct_growth(units, 4.1, measure, choices).ok());
    for (const UnitChoices& each : choices)
      for (std::size_t c = 0; c < each.size(); ++c) {
        EXPECT_TRUE(std::isfinite(each[c].growth) && each[c].growth >= 0);
        EXPECT_TRUE(c == 0 || each[c].growth <= each[c - 1].growth) << "more bits are no worse";
      }
  }
  const MeasureSubstitution fails = [](const Substitution&) -> Result<double> {
    return fail(ErrorCode::kCancelled, "stopped");
  };
  EXPECT_FALSE(correct_growth(units, 4.1, fails, choices).ok());
}

}  // namespace
}  // namespace nibble
