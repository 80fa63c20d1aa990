// GPTQ against its own definition, and what each step promises.
#include "quant/gptq/gptq.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "quant/gptq/testing/layer.h"
#include "quant/rtn/group_grid.h"
#include "quant/stored_scale.h"

namespace nibble {
namespace {

using testing::Layer;

/// The recursion as GPTQ's paper states it, in float64: the inverse's upper Cholesky factor, one column after another.
std::vector<std::uint8_t> plain_gptq(const Layer& layer, const QuantScheme& scheme, std::int64_t group) {
  const std::int64_t n = layer.cols;
  const auto at = [n](std::int64_t i, std::int64_t j) { return static_cast<std::size_t>(i * n + j); };
  double mean = 0;
  for (std::int64_t j = 0; j < n; ++j) mean += layer.h(j, j) / static_cast<double>(n);
  // Gauss-Jordan inverse, then inverse = U^T U.
  std::vector<double> a(static_cast<std::size_t>(n * n));
  std::vector<double> inverse(a.size());
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      a[at(i, j)] = layer.h(i, j) + (i == j ? 0.01 * mean : 0.0);
      inverse[at(i, j)] = i == j ? 1 : 0;
    }
  for (std::int64_t p = 0; p < n; ++p) {
    const double pivot = a[at(p, p)];
    for (std::int64_t j = 0; j < n; ++j) {
      a[at(p, j)] /= pivot;
      inverse[at(p, j)] /= pivot;
    }
    for (std::int64_t i = 0; i < n; ++i) {
      if (i == p) continue;
      const double factor = a[at(i, p)];
      for (std::int64_t j = 0; j < n; ++j) {
        a[at(i, j)] -= factor * a[at(p, j)];
        inverse[at(i, j)] -= factor * inverse[at(p, j)];
      }
    }
  }
  std::vector<double> u(a.size());
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = i; j < n; ++j) {
      double sum = inverse[at(i, j)];
      for (std::int64_t k = 0; k < i; ++k) sum -= u[at(k, i)] * u[at(k, j)];
      u[at(i, j)] = i == j ? std::sqrt(sum) : sum / u[at(i, i)];
    }
  std::vector<std::uint8_t> codes;
  const GroupQuantizer quantizer(scheme, RangeRule{});
  for (std::int64_t r = 0; r < layer.rows; ++r) {
    std::vector<double> w(layer.weights.begin() + r * n, layer.weights.begin() + (r + 1) * n);
    GroupGrid grid;
    for (std::int64_t j = 0; j < n; ++j) {
      if (j % group == 0) {
        const std::vector<float> values(w.begin() + j, w.begin() + std::min(n, j + group));
        grid = quantizer.choose(values, [](std::span<float> scales) {
          for (float& s : scales) s = stored_scale(ElementType::kF16, s);
        });
      }
      const auto x = static_cast<float>(w[static_cast<std::size_t>(j)]);
      std::uint8_t code = 0;
      quantizer.encode({&x, 1}, grid, &code);
      codes.push_back(code);
      const double value = static_cast<double>(grid.scale) * (code - scheme.code.bias - grid.zero);
      const double error = (w[static_cast<std::size_t>(j)] - value) / u[at(j, j)];
      for (std::int64_t k = j; k < n; ++k) w[static_cast<std::size_t>(k)] -= error * u[at(j, k)];
    }
  }
  return codes;
}

TEST(Gptq, HasTheCodesOfThePaper) {
  Layer layer(20, 80, 1);
  for (const char* name : {"int4-g32-sym", "int4-g32-asym", "int3-channel-sym"}) {
    const QuantScheme scheme = parse_scheme(name).value();
    const std::int64_t group = grid_shape(scheme, layer.cols).run;
    GptqOptions options;
    options.search_scales = false;
    const QuantizedMatrix got = layer.quantize(name, options, ColumnOrder::kAsStored);
    ASSERT_TRUE(got.validate().ok());
    const std::vector<std::uint8_t> expected = plain_gptq(layer, scheme, group);
    int different = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) different += got.codes[i] != expected[i] ? 1 : 0;
    // float32 against float64: a target halfway between two codes may fall to either, and the rest of its row follows.
    EXPECT_LE(different, 16) << name;
  }
}

TEST(Gptq, EachStepLowersTheError) {
  for (const char* name : {"int4-g32-sym", "int4-g32-asym", "int3-g32-sym", "int2-g16-asym", "int3-channel-asym",
                           "q4_1", "iq4_nl", "nf4-g16", "codebook3-row-g16", "codebook4-row"}) {
    SCOPED_TRACE(name);
    Layer layer(32, 144, 2);
    GptqOptions options;
    options.feedback = false;
    const double nearest = layer.error(layer.quantize(name, options));
    options.feedback = true;
    const double feedback = layer.error(layer.quantize(name, options));
    EXPECT_LT(feedback, 0.8 * nearest);
    options.sweeps = 2;
    const double swept = layer.error(layer.quantize(name, options));
    EXPECT_LT(swept, feedback);
    options.refit = true;
    options.sweeps = 3;
    const QuantizedMatrix refitted = layer.quantize(name, options);
    ASSERT_TRUE(refitted.validate().ok());
    EXPECT_LT(layer.error(refitted), 1.002 * swept) << "the undamped error, which is not what is refitted";
    // What is reported is the error against the damped H, which is a little larger.
    EXPECT_NEAR(layer.report.error, layer.error(refitted), 0.2 * layer.report.error);
  }
}

TEST(Gptq, IsTheSameOnAnyNumberOfThreads) {
  Layer layer(40, 96, 3);
  GptqOptions options;
  options.sweeps = 2;
  options.refit = true;
  const QuantScheme scheme = parse_scheme("int4-g32-asym").value();
  std::vector<QuantizedMatrix> made;
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    const SecondOrder prepared = prepare_second_order(layer.gram, {0.01, ColumnOrder::kGroupAware, 32}, pool);
    std::vector<float> copy = layer.weights;
    GptqReport report;
    made.push_back(quantize_gptq(copy, layer.rows, prepared, scheme, options, pool, report));
  }
  EXPECT_EQ(made[0].codes, made[1].codes);
  EXPECT_EQ(made[0].scale, made[1].scale);
  EXPECT_EQ(made[0].zero, made[1].zero);
}

TEST(Gptq, GroupsThatDoNotDivideTheRowStayLast) {
  Layer layer(5, 70, 4);
  const QuantizedMatrix quantized = layer.quantize("int4-g32-sym", {});
  ASSERT_TRUE(quantized.validate().ok());
  EXPECT_LT(layer.error(quantized), 0.02);
}

TEST(SecondOrder, FactorsTheDampedMatrix) {
  Layer layer(1, 50, 5);
  ThreadPool pool(2);
  const SecondOrder h = prepare_second_order(layer.gram, {0.05, ColumnOrder::kGroupAware, 10}, pool);
  EXPECT_EQ(h.dead, 0);
  EXPECT_TRUE(h.note.empty());
  const auto at = [](std::int64_t i, std::int64_t j) { return static_cast<std::size_t>(i * 50 + j); };
  // D of H = U D U^T, from the last column back; then the product must be H.
  std::vector<double> d(50);
  for (std::int64_t j = 49; j >= 0; --j) {
    double sum = h.h[at(j, j)];
    for (std::int64_t k = j + 1; k < 50; ++k)
      sum -= static_cast<double>(h.u[at(j, k)]) * h.u[at(j, k)] * d[static_cast<std::size_t>(k)];
    d[static_cast<std::size_t>(j)] = sum;
  }
  for (std::int64_t i = 0; i < 50; ++i) {
    EXPECT_GT(d[static_cast<std::size_t>(i)], 0);
    EXPECT_EQ(h.u[at(i, i)], 1.0f);
    for (std::int64_t j = 0; j < 50; ++j) {
      double sum = 0;
      for (std::int64_t k = std::max(i, j); k < 50; ++k)
        sum += static_cast<double>(h.u[at(i, k)]) * d[static_cast<std::size_t>(k)] * h.u[at(j, k)];
      EXPECT_NEAR(sum, h.h[at(i, j)], 1e-4 * (1 + std::fabs(h.h[at(i, j)])));
      EXPECT_TRUE(j >= i || h.u[at(i, j)] == 0.0f);
      const double expected = (layer.h(h.order[static_cast<std::size_t>(i)], h.order[static_cast<std::size_t>(j)]) +
                               (i == j ? 0.05 * h.mean_diagonal : 0)) /
                              h.mean_diagonal;
      EXPECT_NEAR(h.h[at(i, j)], expected, 1e-5 * (1 + std::fabs(expected)));
    }
  }
}

TEST(SecondOrder, OrderKeepsGroupsWhole) {
  InputGram gram(7);
  const double diagonal[] = {1, 5, 2, 9, 3, 8, 100};
  for (std::int64_t j = 0; j < 7; ++j) gram.sums[static_cast<std::size_t>(j * 7 + j)] = diagonal[j];
  ThreadPool pool(1);
  const SecondOrder grouped = prepare_second_order(gram, {0.01, ColumnOrder::kGroupAware, 2}, pool);
  EXPECT_EQ(grouped.order, (std::vector<std::int32_t>{3, 2, 5, 4, 1, 0, 6}));
  const SecondOrder whole = prepare_second_order(gram, {0.01, ColumnOrder::kGroupAware, 0}, pool);
  EXPECT_EQ(whole.order, (std::vector<std::int32_t>{6, 3, 5, 1, 4, 2, 0}));
  const SecondOrder stored = prepare_second_order(gram, {0.01, ColumnOrder::kAsStored, 2}, pool);
  EXPECT_EQ(stored.order, (std::vector<std::int32_t>{0, 1, 2, 3, 4, 5, 6}));
}

TEST(SecondOrder, OrderKeepsRunsWholeWithinGroups) {
  InputGram gram(8);
  const double diagonal[] = {1, 2, 9, 3, 5, 8, 4, 7};
  for (std::int64_t j = 0; j < 8; ++j) gram.sums[static_cast<std::size_t>(j * 8 + j)] = diagonal[j];
  ThreadPool pool(1);
  const SecondOrder h = prepare_second_order(gram, {0.01, ColumnOrder::kGroupAware, 4, 2}, pool);
  EXPECT_EQ(h.order, (std::vector<std::int32_t>{2, 3, 1, 0, 5, 4, 7, 6}));
}

TEST(SecondOrder, ShrinkageFollowsTheTokens) {
  EXPECT_DOUBLE_EQ(shrinkage_for(576, 131072), 10.0 * 576 / 131072);
  EXPECT_DOUBLE_EQ(shrinkage_for(1536, 100), 1.0);
  EXPECT_DOUBLE_EQ(shrinkage_for(1536, 0), 0.0) << "nobody counted";
}

TEST(SecondOrder, ShrinkageAddsToEachColumnItsOwn) {
  Layer layer(1, 40, 6);
  const SecondOrder plain = prepare_second_order(layer.gram, {0.01, ColumnOrder::kGroupAware, 8, 8}, layer.pool);
  const SecondOrder shrunk = prepare_second_order(layer.gram, {0.01, ColumnOrder::kGroupAware, 8, 8, 0.5}, layer.pool);
  EXPECT_EQ(shrunk.order, plain.order);
  for (std::size_t i = 0; i < 40; ++i)
    for (std::size_t j = 0; j < 40; ++j) {
      const float h = plain.h[i * 40 + j];
      EXPECT_NEAR(shrunk.h[i * 40 + j], i == j ? 1.5f * (h - 0.01f) + 0.01f : h, 1e-4f * (1 + std::fabs(h)));
    }
}

/// Statistics that second order cannot use have a stated outcome.
TEST(SecondOrder, DegenerateStatistics) {
  ThreadPool pool(1);
  const SecondOrderOptions options{0.01, ColumnOrder::kGroupAware, 0};
  InputGram zero(8);
  EXPECT_EQ(prepare_second_order(zero, options, pool).note, "the inputs were all 0: rounded to nearest");
  InputGram nan(8);
  nan.sums[9] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(prepare_second_order(nan, options, pool).note, "the inputs held NaN or infinities: rounded to nearest");
  InputGram broken(8);
  for (std::size_t j = 0; j < 8; ++j) broken.sums[j * 8 + j] = 1;
  broken.sums[1] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(prepare_second_order(broken, options, pool).note,
            "the inputs' second moments have no factor: rounded to nearest");
  InputGram indefinite(8);
  for (std::size_t j = 0; j < 8; ++j) indefinite.sums[j * 8 + j] = 1;
  indefinite.sums[1] = 2;
  const SecondOrder raised = prepare_second_order(indefinite, options, pool);
  EXPECT_EQ(raised.note, "damping was raised");
  EXPECT_GT(raised.damping, 1.0);
  InputGram one_token(8);
  for (std::size_t i = 0; i < 8; ++i)
    for (std::size_t j = i; j < 8; ++j) one_token.sums[i * 8 + j] = 1;
  EXPECT_TRUE(prepare_second_order(one_token, options, pool).note.empty()) << "rank one needs no more than damping";
  InputGram dead(8);
  dead.sums[0] = 4;
  const SecondOrder with_dead = prepare_second_order(dead, options, pool);
  EXPECT_EQ(with_dead.dead, 7);
  for (const float u : with_dead.u) EXPECT_TRUE(u == 0.0f || u == 1.0f);
}

}  // namespace
}  // namespace nibble
