// Searched scales: never worse than round-to-nearest by the weighted error they are chosen by, much better where it
// matters, and the best of all scales tried.
#include "quant/auto_round/searched_rtn.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "quant/rtn/rtn.h"
#include "quant/testing/golden_models.h"

namespace nibble {
namespace {

constexpr std::int64_t kRows = 24;
constexpr std::int64_t kCols = 80;

std::vector<float> heavy_tailed(unsigned seed) {
  std::mt19937 random(seed);
  std::student_t_distribution<float> student(4.0f);
  std::vector<float> out(static_cast<std::size_t>(kRows * kCols));
  for (float& v : out) v = 0.05f * student(random);
  return out;
}

/// A few columns matter a hundred times more.
std::vector<float> uneven_importance() {
  std::vector<float> out(static_cast<std::size_t>(kCols), 0.5f);
  for (std::size_t c = 3; c < out.size(); c += 17) out[c] = 50.0f;
  return out;
}

double weighted_error(const std::vector<float>& w, const QuantizedMatrix& q, const std::vector<float>& importance) {
  std::vector<float> values(w.size());
  dequantize(q, values.data());
  double sum = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const double difference = static_cast<double>(w[i]) - static_cast<double>(values[i]);
    const std::size_t column = i % static_cast<std::size_t>(kCols);
    sum += (importance.empty() ? 1.0 : static_cast<double>(importance[column])) * difference * difference;
  }
  return sum;
}

TEST(SearchedRtn, BeatsRoundToNearestByItsOwnMeasure) {
  ThreadPool pool(2);
  for (const char* name : {"int2-g16-sym", "int3-g32-sym", "int4-g32-asym", "int3-channel-asym", "int8-g64-sym"}) {
    SCOPED_TRACE(name);
    const QuantScheme scheme = parse_scheme(name).value();
    for (const auto& importance : {std::vector<float>(), uneven_importance()}) {
      std::vector<float> w = heavy_tailed(3);
      const QuantizedMatrix got = quantize_searched_rtn(w, kRows, kCols, importance, scheme, pool);
      QuantizedMatrix nearest;
      quantize_rtn_rows(w.data(), kRows, kCols, 0, kRows, scheme, {}, nearest);
      const double bound = scheme.code.bits <= 3 ? 0.9 : 1.0;
      EXPECT_LT(weighted_error(w, got, importance), bound * weighted_error(w, nearest, importance));
      EXPECT_TRUE(got.validate().ok());
    }
  }
}

/// Every group by itself: no scale of a fine grid over the stated range is better by more than the grid's coarseness.
TEST(SearchedRtn, NoOtherScaleInRangeIsMuchBetter) {
  ThreadPool pool(1);
  QuantScheme scheme = parse_scheme("int3-g16-sym").value();
  scheme.scale->element = ElementType::kF32;
  std::vector<float> w = heavy_tailed(5);
  const std::vector<float> importance = uneven_importance();
  const QuantizedMatrix got = quantize_searched_rtn(w, kRows, kCols, importance, scheme, pool);
  std::vector<float> values(w.size());
  dequantize(got, values.data());
  double found = 0;
  double best_of_all = 0;
  for (std::size_t first = 0; first < w.size(); first += 16) {
    float extreme = 0;
    for (std::size_t i = first; i < first + 16; ++i)
      if (std::fabs(w[i]) > std::fabs(extreme)) extreme = w[i];
    double least = std::numeric_limits<double>::infinity();
    for (double part = 1 / 1.75; part <= 4.0; part += 0.001) {
      const double scale = -static_cast<double>(extreme) / 4 * part;
      double error = 0;
      for (std::size_t i = first; i < first + 16; ++i) {
        const double x = static_cast<double>(w[i]);
        const double difference = x - scale * std::clamp(std::nearbyint(x / scale), -4.0, 3.0);
        error += static_cast<double>(importance[i % kCols]) * difference * difference;
      }
      least = std::min(least, error);
    }
    best_of_all += least;
    for (std::size_t i = first; i < first + 16; ++i) {
      const double difference = static_cast<double>(w[i]) - static_cast<double>(values[i]);
      found += static_cast<double>(importance[i % kCols]) * difference * difference;
    }
  }
  EXPECT_GE(found, best_of_all * 0.999);
  EXPECT_LE(found, best_of_all * 1.05);
}

TEST(SearchedRtn, ZerosAndNumbersThatAreNot) {
  ThreadPool pool(2);
  for (const char* name : {"int4-g16-sym", "int4-g16-asym"}) {
    const QuantScheme scheme = parse_scheme(name).value();
    std::vector<float> w(static_cast<std::size_t>(kRows * kCols), 0.0f);
    w[5] = std::numeric_limits<float>::quiet_NaN();
    w[90] = std::numeric_limits<float>::infinity();
    w[91] = 2.0f;
    const QuantizedMatrix got = quantize_searched_rtn(w, kRows, kCols, {}, scheme, pool);
    std::vector<float> values(w.size());
    dequantize(got, values.data());
    for (std::size_t i = 0; i < w.size(); ++i) EXPECT_NEAR(values[i], w[i], 0.1f) << i;
    EXPECT_EQ(w[5], 0.0f);
    EXPECT_EQ(w[90], 2.0f);
  }
}

/// Inputs that say nothing: as if all columns were alike, and no error of outputs is known.
TEST(SearchedRtn, InputsThatAreNotNumbers) {
  const ModelFiles::Ptr files = open_golden("llama");
  const std::vector<LinearId> linears{files->layout().blocks[0].down_proj};
  const QuantScheme scheme = parse_scheme("int4-g16-sym").value();
  ThreadPool pool(1);
  InputGram gram(files->layout().linears[static_cast<std::size_t>(linears[0])].cols);
  gram.tokens = 4;
  std::fill(gram.sums.begin(), gram.sums.end(), std::numeric_limits<double>::quiet_NaN());
  FinishedLinears finished(files->layout(), nullptr);
  const auto matrices = search_linears(*files, linears, gram, scheme, finished, pool);
  ASSERT_TRUE(matrices.ok());
  FloatMatrix w = finite_weights(*files, linears[0], pool).value();
  const QuantizedMatrix expected = quantize_searched_rtn(w.values, w.rows, w.cols, {}, scheme, pool);
  QuantizedMatrix got;
  ASSERT_TRUE(matrices->front()->decode(0, w.rows, got).ok());
  EXPECT_EQ(got.codes, expected.codes);
  EXPECT_FALSE(finished.all().at(linears[0]).error.has_value());
}

}  // namespace
}  // namespace nibble
