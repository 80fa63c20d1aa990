// Fitted codebooks against round-to-nearest's, weighted and not; the parts against what they promise.
#include "quant/wnam/codebooks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "quant/rtn/rtn.h"
#include "quant/wnam/group_fit.h"

namespace nibble {
namespace {

constexpr std::int64_t kRows = 24;
constexpr std::int64_t kCols = 320;

std::vector<float> heavy_tailed(unsigned seed, std::int64_t rows = kRows, std::int64_t cols = kCols) {
  std::mt19937 random(seed);
  std::student_t_distribution<float> distribution(5.0f);
  std::vector<float> out(static_cast<std::size_t>(rows * cols));
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = distribution(random) * (1.0f + static_cast<float>(i / static_cast<std::size_t>(cols) % 5));
  return out;
}

std::vector<float> uneven_importance() {
  std::mt19937 random(4);
  std::normal_distribution<float> normal;
  std::vector<float> out(kCols);
  for (float& h : out) h = std::exp(2 * normal(random));
  return out;
}

QuantizedMatrix fitted(const std::vector<float>& weights, const std::vector<float>& importance,
                       const QuantScheme& scheme, int rounds = 4) {
  ThreadPool pool(2);
  const auto rows = static_cast<std::int64_t>(weights.size() / importance.size());
  const QuantizedMatrix out =
      fit_codebooks(weights, rows, static_cast<std::int64_t>(importance.size()), importance, scheme, {rounds}, pool);
  EXPECT_TRUE(out.validate().ok());
  return out;
}

double loss(const std::vector<float>& weights, const std::vector<float>& importance, const QuantizedMatrix& matrix) {
  std::vector<float> values(weights.size());
  dequantize(matrix, values.data());
  double sum = 0;
  for (std::size_t i = 0; i < weights.size(); ++i)
    sum += static_cast<double>(importance[i % importance.size()]) *
           std::pow(static_cast<double>(weights[i]) - static_cast<double>(values[i]), 2);
  return sum;
}

const std::vector<float> kOnes(kCols, 1.0f);

const char* const kSchemes[] = {
    "codebook4-row-g64", "codebook4-row",      "codebook3-row-g32",          "codebook4-row-channel",
    "codebook4-g64-g32", "codebook4-g128",     "codebook4-tensor-g32",       "codebook2-tensor",
    "codebook1-row-g64", "codebook5-g192-g64", "codebook4-row-g64-scale:f32"};

TEST(Codebooks, LoseLessThanRoundToNearest) {
  const std::vector<float> weights = heavy_tailed(1);
  const std::vector<float> importance = uneven_importance();
  for (const char* name : kSchemes) {
    SCOPED_TRACE(name);
    const QuantScheme scheme = parse_scheme(name).value();
    QuantizedMatrix rtn;
    std::vector<float> copy = weights;
    quantize_rtn_rows(copy.data(), kRows, kCols, 0, kRows, scheme, {}, rtn);
    const bool grouped = scheme.scale && scheme.scale->grouping.kind == Grouping::Kind::kColumns;
    const double bound = grouped ? 0.97 : 1.0001;  // without groups both are the optimum
    EXPECT_LE(loss(weights, kOnes, fitted(weights, kOnes, scheme)), bound * loss(weights, kOnes, rtn));
    EXPECT_LE(loss(weights, importance, fitted(weights, importance, scheme)), 0.97 * loss(weights, importance, rtn));
    EXPECT_LT(loss(weights, importance, fitted(weights, importance, scheme)),
              loss(weights, importance, fitted(weights, kOnes, scheme)))
        << "importance is what it goes by";
  }
}

TEST(Codebooks, RoundsNeverLose) {
  const std::vector<float> weights = heavy_tailed(2);
  const std::vector<float> importance = uneven_importance();
  for (const char* name : {"codebook4-row-g64", "codebook3-tensor-g32"}) {
    const QuantScheme scheme = parse_scheme(name).value();
    double before = HUGE_VAL;
    for (const int rounds : {1, 2, 4, 8}) {
      const double now = loss(weights, importance, fitted(weights, importance, scheme, rounds));
      EXPECT_LE(now, before * (1 + 1e-9)) << name << ", " << rounds;
      before = now;
    }
  }
}

TEST(Codebooks, ABankIsBetterThanOneTable) {
  // Groups of two kinds: what suits one does not suit the other.
  std::vector<float> weights = heavy_tailed(3);
  for (std::size_t i = 0; i < weights.size(); ++i)
    if (i / 32 % 2 == 0) weights[i] = std::fabs(weights[i]) * 0.1f + 1.0f;
  const QuantScheme one = parse_scheme("codebook3-tensor-g32").value();
  const QuantScheme bank = with_codebook_bank(one, 4, 32);
  ASSERT_TRUE(check_codebook_scheme(bank).ok());
  const QuantizedMatrix matrix = fitted(weights, kOnes, bank);
  EXPECT_LT(loss(weights, kOnes, matrix), 0.9 * loss(weights, kOnes, fitted(weights, kOnes, one)));
  EXPECT_EQ(matrix.tables.size(), 4u * 8u);
  EXPECT_EQ(matrix.selector.size(), static_cast<std::size_t>(kRows * kCols / 32));
  const QuantScheme unscaled = parse_scheme("codebook3-tensor").value();
  EXPECT_LT(loss(weights, kOnes, fitted(weights, kOnes, with_codebook_bank(unscaled, 4, 32))),
            0.9 * loss(weights, kOnes, fitted(weights, kOnes, unscaled)));
}

TEST(Codebooks, OffsetsHelpGroupsAwayFromZero) {
  std::vector<float> weights = heavy_tailed(5);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] += i / 64 % 3 == 0 ? 12.0f : 0.0f;
  const QuantScheme without = parse_scheme("codebook4-row-g64").value();
  const QuantizedMatrix matrix = fitted(weights, kOnes, with_offsets(without));
  EXPECT_LT(loss(weights, kOnes, matrix), 0.7 * loss(weights, kOnes, fitted(weights, kOnes, without)));
}

/// Weights that lie on a table's own grid come back, whatever the signs of their scales.
TEST(Codebooks, AGroupOnTheGridIsExact) {
  const QuantScheme scheme = parse_scheme("codebook2-row-g32").value();
  const std::vector<float> table{-0.5f, -0.125f, 0.25f, 1.0f};
  const std::vector<float> importance(32, 1.0f);
  for (const float scale : {1.0f, -2.0f, 0.0625f}) {
    std::vector<float> w(32);
    for (std::size_t i = 0; i < w.size(); ++i) w[i] = scale * table[i % 4];
    GroupFitter fitter(scheme);
    const GroupFit fit = fitter.from_scratch({}, w, importance, table);
    EXPECT_EQ(fit.scale, scale);
    EXPECT_EQ(fit.loss, 0.0);
    EXPECT_EQ(fitter.around({scale * 1.05f, 0.0f, 0.0}, w, importance, table).loss, 0.0);
  }
}

TEST(Codebooks, ThreadsChangeNoByte) {
  const std::vector<float> weights = heavy_tailed(6, 100, 96);
  const std::vector<float> importance(96, 1.0f);
  for (const char* name : {"codebook4-row-g32", "codebook4-tensor-g32", "bank"}) {
    const QuantScheme tensor = parse_scheme("codebook4-tensor-g32").value();
    const QuantScheme scheme =
        std::string(name) == "bank" ? with_codebook_bank(tensor, 8, 32) : parse_scheme(name).value();
    std::vector<QuantizedMatrix> made;
    for (const int threads : {1, 3}) {
      ThreadPool pool(threads);
      made.push_back(fit_codebooks(weights, 100, 96, importance, scheme, {}, pool));
    }
    EXPECT_EQ(made[0].codes, made[1].codes) << name;
    EXPECT_EQ(made[0].scale, made[1].scale) << name;
    EXPECT_EQ(made[0].tables, made[1].tables) << name;
    EXPECT_EQ(made[0].selector, made[1].selector) << name;
  }
}

TEST(Codebooks, OddWeights) {
  for (const char* name : kSchemes) {
    SCOPED_TRACE(name);
    const QuantScheme scheme = parse_scheme(name).value();
    const std::vector<float> zeros(kRows * kCols, 0.0f);
    EXPECT_EQ(loss(zeros, kOnes, fitted(zeros, kOnes, scheme)), 0.0);
    std::vector<float> sparse = zeros;
    for (std::size_t i = 0; i < sparse.size(); i += 64) sparse[i] = 3.0f;
    EXPECT_LT(loss(sparse, kOnes, fitted(sparse, kOnes, scheme)), 1e-3) << "two values";
    if (scheme.scale && scheme.scale->grouping.kind == Grouping::Kind::kColumns) {
      std::vector<float> with_hole = heavy_tailed(8);
      std::fill(with_hole.begin(), with_hole.begin() + 192, 0.0f);
      std::vector<float> values(with_hole.size());
      dequantize(fitted(with_hole, kOnes, scheme), values.data());
      for (std::size_t i = 0; i < 192; ++i) EXPECT_NEAR(values[i], 0.0f, 1e-5f) << "groups of zeros stay zero";
    }
    const std::vector<float> short_row = heavy_tailed(7, 3, 5);
    EXPECT_LT(loss(short_row, std::vector<float>(5, 1.0f), fitted(short_row, std::vector<float>(5, 1.0f), scheme)),
              scheme.code.bits < 4 ? HUGE_VAL : 1.0);
  }
}

TEST(Codebooks, RefusesWhatItCannotMake) {
  for (const char* name : {"int4-g32-sym", "nf4-g64", "codebook4-row-tensor", "codebook4-row-g64-dq",
                           "codebook4-g64-channel", "codebook4-g48-g32", "codebook4-block8x8"}) {
    const Status status = check_codebook_scheme(parse_scheme(name).value());
    ASSERT_FALSE(status.ok()) << name;
    EXPECT_NE(status.error().message.find("wnam cannot make"), std::string::npos) << status.error().message;
  }
  for (const char* name : kSchemes) EXPECT_TRUE(check_codebook_scheme(parse_scheme(name).value()).ok()) << name;
}

}  // namespace
}  // namespace nibble
