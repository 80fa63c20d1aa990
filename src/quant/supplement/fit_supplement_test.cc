// What stands beside the codes takes off the output's error what it can.
#include "quant/supplement/fit_supplement.h"
#include "quant/supplement/kept_columns.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "quant/calibration/finished_linears.h"
#include "quant/output_error.h"
#include "quant/rtn/rtn.h"

namespace nibble {
namespace {

constexpr std::int64_t kRows = 48;
constexpr std::int64_t kCols = 64;
constexpr std::int64_t kTokens = 4096;

struct Problem {
  FloatMatrix weights;
  InputGram gram{kCols};
  ThreadPool pool{2};

  /// Inputs that hang together; column 17 is a hundred times as large as others, column 40 always 0.
  Problem() {
    std::mt19937 random(8);
    std::normal_distribution<float> normal;
    weights.rows = kRows;
    weights.cols = kCols;
    for (std::int64_t i = 0; i < kRows * kCols; ++i) weights.values.push_back(normal(random));
    std::vector<float> x(kTokens * kCols);
    for (std::int64_t t = 0; t < kTokens; ++t) {
      const float common = normal(random);
      for (std::int64_t c = 0; c < kCols; ++c)
        x[static_cast<std::size_t>(t * kCols + c)] = (common + normal(random)) * (c == 17   ? 100.0f
                                                                                  : c == 40 ? 0.0f
                                                                                            : 1.0f);
    }
    gram.add(x, pool);
  }

  QuantizedMatrix rounded(const char* scheme_name) {
    const QuantScheme scheme = parse_scheme(scheme_name).value();
    QuantScheme codes = scheme;
    codes.supplement = {};
    std::vector<float> values = weights.values;
    QuantizedMatrix plain;
    quantize_rtn_rows(values.data(), kRows, kCols, 0, kRows, codes, {}, plain);
    QuantizedMatrix m;
    m.allocate(scheme, kRows, kCols, 0, kRows);
    m.codes = plain.codes;
    m.scale = plain.scale;
    return m;
  }

  double error(const QuantizedMatrix& m) {
    return relative_output_error(weights, m, QuadraticForm(gram, 0, kCols, gram_unit(gram)), {}, {}, pool);
  }

  QuantizedMatrix fitted(const char* scheme) {
    QuantizedMatrix m = rounded(scheme);
    fit_supplement(weights.values, gram, most_harmed_columns(weights.values, gram, m), m, pool);
    EXPECT_TRUE(m.validate().ok());
    return m;
  }
};

TEST(FitSupplement, KeepsTheColumnThatHarmsMost) {
  Problem problem;
  const double codes = problem.error(problem.rounded("int3-g32-sym-keep16:0.01%"));
  const QuantizedMatrix m = problem.fitted("int3-g32-sym-keep16:0.01%");
  EXPECT_EQ(m.supplement.columns, std::vector<std::int32_t>{17});
  EXPECT_LT(problem.error(m), 0.02 * codes);
  EXPECT_LT(problem.error(problem.fitted("int3-g32-sym-keep8:0.01%")), 0.02 * codes);
}

TEST(FitSupplement, EveryPartTakesErrorOff) {
  Problem problem;
  double before = problem.error(problem.rounded("int3-g32-sym-rank1"));
  for (const char* scheme : {"int3-g32-sym-rank1", "int3-g32-sym-rank4", "int3-g32-sym-rank16",
                             "int3-g32-sym-keep8:5%-rank16", "int3-g32-sym-keep16:10%-rank32"}) {
    const double error = problem.error(problem.fitted(scheme));
    EXPECT_LT(error, 0.98 * before) << scheme;
    before = error;
  }
}

/// All columns kept, or a product of full rank: what remains is the rounding of f16.
TEST(FitSupplement, WithEnoughOfItTheWeightsComeBack) {
  Problem problem;
  for (const char* scheme : {"int3-g32-sym-keep16:100%", "int3-g32-sym-rank64"})
    EXPECT_LT(problem.error(problem.fitted(scheme)), 2e-5) << scheme;
}

/// Weights that are the codes' values and a product of rank 3: it is found, to the rounding of f16.
TEST(FitSupplement, ThePlantedProductIsFound) {
  Problem problem;
  QuantizedMatrix m = problem.rounded("int3-g32-sym-rank3");
  std::vector<float> values(kRows * kCols);
  dequantize(m, values.data());
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  std::vector<float> left(kRows * 3), right(3 * kCols);
  for (float& value : left) value = normal(random);
  for (float& value : right) value = normal(random);
  for (std::int64_t r = 0; r < kRows; ++r)
    for (std::int64_t c = 0; c < kCols; ++c) {
      float sum = 0;
      for (std::int64_t j = 0; j < 3; ++j)
        sum += left[static_cast<std::size_t>(r * 3 + j)] * right[static_cast<std::size_t>(j * kCols + c)];
      problem.weights.values[static_cast<std::size_t>(r * kCols + c)] =
          values[static_cast<std::size_t>(r * kCols + c)] + sum;
    }
  const double before = problem.error(m);
  fit_supplement(problem.weights.values, problem.gram, {}, m, problem.pool);
  EXPECT_LT(problem.error(m), 1e-5 * before);
}

/// E H' E^T is what remains of E H E^T when the kept columns take back what they can, but for the damping.
TEST(FitSupplement, MomentsBesideKeptColumnsAreWhatTheyCannotTakeBack) {
  Problem problem;
  problem.gram.tokens *= 100000;  // no shrinkage
  const QuantizedMatrix codes = problem.rounded("int3-g32-sym-keep16:5%");
  const std::vector<std::int32_t> columns = most_harmed_columns(problem.weights.values, problem.gram, codes);
  ASSERT_EQ(columns.size(), 3u);
  QuantizedMatrix m = codes;
  fit_supplement(problem.weights.values, problem.gram, columns, m, problem.pool);
  const InputGram rest = beside_kept(problem.gram, columns, problem.pool);
  const double unit = gram_unit(problem.gram);
  const auto absolute = [&](const QuantizedMatrix& matrix, const InputGram& gram) {
    std::vector<float> values(kRows * kCols);
    dequantize(matrix, values.data());
    double sum = 0;
    for (std::int64_t r = 0; r < kRows; ++r)
      for (std::int64_t i = 0; i < kCols; ++i)
        for (std::int64_t j = 0; j < kCols; ++j) {
          const auto error = [&](std::int64_t c) {
            const auto n = static_cast<std::size_t>(r * kCols + c);
            return static_cast<double>(problem.weights.values[n] - values[n]);
          };
          sum +=
              error(i) * error(j) * unit * gram.sums[static_cast<std::size_t>(std::min(i, j) * kCols + std::max(i, j))];
        }
    return sum;
  };
  const double left = absolute(m, problem.gram);
  EXPECT_LT(left, 0.1 * absolute(codes, problem.gram));
  EXPECT_NEAR(absolute(codes, rest), left, 0.05 * left);
}

TEST(FitSupplement, UselessInputsLeaveTheCodes) {
  Problem problem;
  problem.gram.sums.assign(problem.gram.sums.size(), std::nan(""));
  const QuantizedMatrix m = problem.fitted("int3-g32-sym-keep8:5%-rank2");
  const QuantizedMatrix codes = problem.rounded("int3-g32-sym-keep8:5%-rank2");
  EXPECT_TRUE(m.supplement.kept == codes.supplement.kept && m.supplement.left == codes.supplement.left);
}

TEST(FitSupplement, TheSameBytesForAnyNumberOfThreads) {
  Problem problem;
  QuantizedMatrix one = problem.rounded("int3-g32-sym-keep8:5%-rank7");
  QuantizedMatrix three = one;
  ThreadPool alone(1);
  ThreadPool several(3);
  const std::vector<std::int32_t> columns = most_harmed_columns(problem.weights.values, problem.gram, one);
  fit_supplement(problem.weights.values, problem.gram, columns, one, alone);
  fit_supplement(problem.weights.values, problem.gram, columns, three, several);
  EXPECT_TRUE(one.supplement == three.supplement);
}

}  // namespace
}  // namespace nibble
