#include "quant/gptq/act_order.h"

#include <gtest/gtest.h>

#include <cmath>

#include "quant/gptq/static_groups.h"
#include "quant/gptq/testing/layer.h"

namespace nibble {
namespace {

using testing::Layer;

QuantizedMatrix quantize_in_order(Layer& layer, const std::string& name, std::vector<std::int32_t>& order) {
  const QuantScheme scheme = parse_scheme(name).value();
  order = activation_order(layer.gram);
  const InputGram gram = in_order(layer.gram, order);
  const SecondOrder h =
      prepare_second_order(gram, second_order_options(0.01, ColumnOrder::kAsStored, scheme, layer.cols), layer.pool);
  std::vector<float> weights = in_order(layer.weights, order);
  return quantize_gptq(weights, layer.rows, h, scheme, {}, layer.pool, layer.report);
}

QuantizedMatrix in_static_groups(Layer& layer, const QuantScheme& scheme) {
  const auto prepared = [&](ColumnOrder order) {
    return prepare_second_order(layer.gram, second_order_options(0.01, order, scheme, layer.cols), layer.pool);
  };
  return quantize_static_groups(layer.weights, layer.rows, prepared(ColumnOrder::kAsStored),
                                prepared(ColumnOrder::kBySize), scheme, {}, layer.pool);
}

TEST(ActOrder, ColumnsGoBackWhereTheyBelong) {
  for (const char* name : {"int4-g16-sym", "int3-g16-asym", "int2-g32-asym"}) {
    SCOPED_TRACE(name);
    Layer layer(9, 80, 3);
    std::vector<std::int32_t> order;
    const QuantizedMatrix ordered = quantize_in_order(layer, name, order);
    const QuantizedMatrix matrix = with_group_index(ordered, order);
    ASSERT_TRUE(matrix.validate().ok()) << matrix.validate().error().message;
    std::vector<float> in_its_order(layer.weights.size()), values(layer.weights.size());
    dequantize(ordered, in_its_order.data());
    dequantize(matrix, values.data());
    EXPECT_EQ(in_order(values, order), in_its_order);
    for (std::size_t p = 1; p < order.size(); ++p)
      EXPECT_GE(layer.h(order[p - 1], order[p - 1]), layer.h(order[p], order[p]));
  }
}

/// Inputs of about the same size: the errors of very large ones would have to be made up for by very small ones.
void level_inputs(Layer& layer) {
  const InputGram before = layer.gram;
  const auto size = [&](std::int64_t c) {
    return std::pow(before.sums[static_cast<std::size_t>(c * (layer.cols + 1))], 0.4);
  };
  for (std::int64_t i = 0; i < layer.cols; ++i)
    for (std::int64_t j = i; j < layer.cols; ++j)
      layer.gram.sums[static_cast<std::size_t>(i * layer.cols + j)] /= size(i) * size(j);
}

TEST(ActOrder, FeedbackWorksInThatOrder) {
  double with_feedback = 0;
  double without = 0;
  GptqOptions plain;
  plain.feedback = false;
  for (unsigned seed = 0; seed < 4; ++seed) {
    Layer layer(24, 96, seed);
    level_inputs(layer);
    std::vector<std::int32_t> order;
    const QuantizedMatrix ordered = quantize_in_order(layer, "int3-g16-sym", order);
    with_feedback += layer.error(with_group_index(ordered, order));
    without += layer.error(layer.quantize("int3-g16-sym", plain, ColumnOrder::kAsStored));
  }
  EXPECT_LT(with_feedback, 0.8 * without);
}

TEST(StaticGroups, KeepTheirGridsAndLoseLessThanWithoutFeedback) {
  double with_feedback = 0;
  double without = 0;
  for (const char* name : {"int3-g16-sym", "int4-g32-asym"}) {
    for (unsigned seed = 0; seed < 3; ++seed) {
      Layer layer(21, 80, seed);
      const QuantScheme scheme = parse_scheme(name).value();
      GptqOptions plain;
      plain.feedback = false;
      const QuantizedMatrix rounded = layer.quantize(name, plain, ColumnOrder::kAsStored);
      const QuantizedMatrix matrix = in_static_groups(layer, scheme);
      ASSERT_TRUE(matrix.validate().ok());
      EXPECT_EQ(matrix.scale, rounded.scale);
      EXPECT_EQ(matrix.zero, rounded.zero);
      without += layer.error(rounded);
      with_feedback += layer.error(matrix);
    }
  }
  EXPECT_LT(with_feedback, 0.8 * without);
}

/// Where columns are as large as each other, in the order of their groups, the codes are those of the plain recursion.
TEST(StaticGroups, IsTheRecursionInTheOrderOfTheColumns) {
  Layer layer(17, 64, 5);
  const QuantScheme scheme = parse_scheme("int4-g64-sym").value();
  const QuantizedMatrix matrix = in_static_groups(layer, scheme);
  // One group: the same order, and the scale is chosen before any error is made.
  const QuantizedMatrix whole = layer.quantize(scheme, {});
  EXPECT_EQ(matrix.codes, whole.codes);
  EXPECT_EQ(matrix.scale, whole.scale);
}

TEST(ActOrder, StatisticsMove) {
  Layer layer(2, 32, 7);
  layer.gram.drift.resize(layer.gram.sums.size());
  for (std::size_t i = 0; i < layer.gram.drift.size(); ++i) layer.gram.drift[i] = static_cast<double>(i);
  const std::vector<std::int32_t> order = activation_order(layer.gram);
  const InputGram gram = in_order(layer.gram, order);
  for (std::size_t i = 0; i < 32; ++i)
    for (std::size_t j = 0; j < 32; ++j) {
      if (i <= j) {
        EXPECT_EQ(gram.sums[i * 32 + j], layer.h(order[i], order[j]));
      }
      EXPECT_EQ(gram.drift[i * 32 + j], static_cast<double>(order[i] * 32 + order[j]));
    }
  EXPECT_EQ(gram.tokens, layer.gram.tokens);
}

TEST(ActOrder, RefusesWhatHasNoGroups) {
  for (const char* name : {"int4-channel-sym", "nf4-g64", "q4_1", "q4_k", "codebook4-row-g64"})
    EXPECT_FALSE(check_act_order(parse_scheme(name).value()).ok()) << name;
  EXPECT_TRUE(check_act_order(parse_scheme("int4-g128-asym").value()).ok());
}

}  // namespace
}  // namespace nibble
