// Error feedback on every grid that a family stores: what comes out is a matrix of its scheme, encodes exactly, and is
// nearer to the layer's output than rounding to nearest.
#include <gtest/gtest.h>

#include <cmath>

#include "format/ggml_types.h"
#include "quant/gptq/code_levels.h"
#include "quant/gptq/gptq.h"
#include "quant/gptq/testing/layer.h"
#include "quant/rtn/rtn.h"
#include "tensor/ggml_codec.h"
#include "tensor/ggml_schemes.h"

namespace nibble {
namespace {

using testing::Layer;

/// Every ggml type that error feedback makes goes through the codec without a change, and beats rounding to nearest on
/// the same grids.
TEST(GptqGrids, GgmlTypesEncodeExactly) {
  std::string made;
  Layer layer(17, 512, 21);
  for (const GgmlScheme& type : ggml_schemes()) {
    if (!check_gptq_scheme(type.scheme).ok()) continue;
    SCOPED_TRACE(type.name);
    GptqOptions options;
    options.feedback = false;
    const double nearest = layer.error(layer.quantize(type.scheme, options));
    options.feedback = true;
    options.sweeps = 2;
    options.refit = true;
    const QuantizedMatrix matrix = layer.quantize(type.scheme, options);
    ASSERT_TRUE(matrix.validate().ok());
    const double bound = type.scheme.code.bits >= 8 ? 0.8 : 0.7;
    EXPECT_LT(layer.error(matrix), bound * nearest);
    const Result<std::vector<std::byte>> bytes = encode_ggml(type.type, matrix);
    ASSERT_TRUE(bytes.ok()) << bytes.error().message;
    QuantizedMatrix back;
    ASSERT_TRUE(decode_ggml(type.type, *bytes, layer.rows, layer.cols, 0, layer.rows, back).ok());
    EXPECT_EQ(back.codes, matrix.codes);
    EXPECT_EQ(back.scale, matrix.scale);
    EXPECT_EQ(back.offset, matrix.offset);
    made += std::string(type.name) + " ";
  }
  EXPECT_EQ(made, "q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs tq1_0 tq2_0 mxfp4 q1_0 q2_0 ");
}

TEST(GptqGrids, OtherSchemes) {
  Layer layer(36, 160, 22);
  for (const char* name : {"nf4-g64", "nf4-flat64", "nf4-flat48", "nf4-g64-dq", "fp4-g32", "fp8-e4m3-channel",
                           "fp8-e5m2-channel", "int8-channel-sym", "int4-tensor-sym", "int4-block16x64-sym",
                           "int4-tensor-asym", "ternary-g64", "binary-g32", "codebook4-tensor-g32", "codebook4-row",
                           "codebook3-row-g32", "codebook4-g128-g32", "codebook2-g64", "int4-g32-sym-scale:bf16"}) {
    SCOPED_TRACE(name);
    GptqOptions options;
    options.feedback = false;
    const double nearest = layer.error(layer.quantize(name, options));
    options.feedback = true;
    options.sweeps = 2;
    options.refit = true;
    const QuantizedMatrix matrix = layer.quantize(name, options);
    EXPECT_TRUE(matrix.validate().ok());
    EXPECT_LT(layer.error(matrix), 0.8 * nearest);
  }
}

/// HQQ's real zero points.
TEST(GptqGrids, RealZeroPoints) {
  QuantScheme scheme = parse_scheme("int4-g32-asym").value();
  const double whole = [&] {
    Layer layer(16, 128, 23);
    return layer.error(layer.quantize(scheme, {}));
  }();
  scheme.zero_kind = ZeroKind::kReal;
  scheme.zero.element = ElementType::kF16;
  Layer layer(16, 128, 23);
  GptqOptions options;
  const double passed = layer.error(layer.quantize(scheme, options));
  EXPECT_LT(passed, 1.05 * whole);
  options.sweeps = 3;
  options.refit = true;
  const QuantizedMatrix refined = layer.quantize(scheme, options);
  EXPECT_TRUE(refined.validate().ok());
  EXPECT_LT(layer.error(refined), passed);
}

/// What is not weights: zeros, one value, and rows of very different sizes.
TEST(GptqGrids, DegenerateRows) {
  for (const char* name : {"q4_1", "q4_k", "q6_k", "iq4_xs", "nf4-g64-dq", "codebook4-row-g64", "int4-g64-asym"}) {
    SCOPED_TRACE(name);
    Layer layer(16, 256, 24);
    for (std::size_t i = 0; i < 256; ++i) {
      layer.weights[i] = 0.0f;
      layer.weights[256 + i] = 0.125f;
      layer.weights[512 + i] *= 1e-6f;
      layer.weights[768 + i] *= 100.0f;
    }
    GptqOptions options;
    options.sweeps = 2;
    options.refit = true;
    const QuantizedMatrix matrix = layer.quantize(name, options);
    ASSERT_TRUE(matrix.validate().ok());
    std::vector<float> values(layer.weights.size());
    dequantize(matrix, values.data());
    for (std::size_t i = 0; i < 256; ++i) {
      ASSERT_TRUE(std::isfinite(values[768 + i]));
      ASSERT_NEAR(values[i], 0.0f, 1e-2f);
      ASSERT_NEAR(values[256 + i], 0.125f, 0.04f);
    }
  }
}

/// Scales of superblocks, codebooks and refits do not depend on how rows are shared out.
TEST(GptqGrids, AreTheSameOnAnyNumberOfThreads) {
  for (const char* name : {"q4_k", "codebook4-row-g64", "nf4-g64-dq"}) {
    SCOPED_TRACE(name);
    Layer layer(40, 256, 25);
    const QuantScheme scheme = parse_scheme(name).value();
    std::vector<QuantizedMatrix> made;
    for (const int threads : {1, 3}) {
      ThreadPool pool(threads);
      const SecondOrder h = prepare_second_order(
          layer.gram, second_order_options(0.01, ColumnOrder::kGroupAware, scheme, layer.cols), pool);
      std::vector<float> copy = layer.weights;
      GptqReport report;
      GptqOptions options;
      options.sweeps = 2;
      options.refit = true;
      made.push_back(quantize_gptq(copy, layer.rows, h, scheme, options, pool, report));
    }
    EXPECT_EQ(made[0].codes, made[1].codes);
    EXPECT_EQ(made[0].scale, made[1].scale);
    EXPECT_EQ(made[0].offset, made[1].offset);
    EXPECT_EQ(made[0].tables, made[1].tables);
  }
}

TEST(GptqGrids, RefusesWithAReason) {
  const auto why = [](const QuantScheme& scheme, std::int64_t cols = 0) {
    const Status status = check_gptq_scheme(scheme, cols);
    return status.ok() ? std::string() : status.error().message;
  };
  EXPECT_NE(why(parse_scheme("iq2_xxs").value()).find("patterns"), std::string::npos);
  EXPECT_NE(why(parse_scheme("bf16").value()).find("not quantized"), std::string::npos);
  EXPECT_NE(why(parse_scheme("q4_k").value(), 576).find("whole blocks of 256"), std::string::npos);
  EXPECT_EQ(why(parse_scheme("q4_k").value(), 1536), "");
  QuantScheme strided = parse_scheme("int4-g32-sym").value();
  strided.scale->grouping.kind = Grouping::Kind::kStrided;
  EXPECT_NE(why(strided).find("runs of columns"), std::string::npos);
  QuantScheme divides = parse_scheme("int4-g32-sym").value();
  divides.scale->divides = true;
  EXPECT_NE(why(divides).find("divide"), std::string::npos);
  QuantScheme apart = parse_scheme("int4-g32-asym").value();
  apart.zero.grouping = Grouping::columns(64);
  EXPECT_NE(why(apart).find("groups of its scales"), std::string::npos);
  QuantScheme bank = parse_scheme("codebook4-g32-g32").value();
  bank.table.bank_size = 8;
  EXPECT_NE(why(bank).find("bank"), std::string::npos);
}

TEST(CodeLevels, AreAscendingAndComplete) {
  const CodeLevels fp4 = code_levels(CodeFormat::indexed(TableKind::kFp4, 4));
  EXPECT_EQ(fp4.value.size(), 15u) << "two codes stand for 0";
  const CodeLevels e4m3 = code_levels(CodeFormat::floating(ElementType::kE4m3));
  EXPECT_EQ(e4m3.value.size(), 253u) << "without NaN, and one zero";
  EXPECT_EQ(e4m3.value.back(), 448.0f);
  for (std::size_t i = 1; i < e4m3.value.size(); ++i) EXPECT_LT(e4m3.value[i - 1], e4m3.value[i]);
  EXPECT_EQ(e4m3.nearest(1e9f), 252u);
  EXPECT_EQ(e4m3.nearest(-1e9f), 0u);
  EXPECT_EQ(e4m3.value[e4m3.nearest(17.1f)], 18.0f);
  EXPECT_EQ(e4m3.value[e4m3.nearest(16.9f)], 16.0f);
}

}  // namespace
}  // namespace nibble
