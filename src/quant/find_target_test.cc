// Which scheme of a family a matrix goes to.
#include "quant/find_target.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "tensor/ggml_schemes.h"

namespace nibble {
namespace {

/// Random codes, scales of a half's precision, zero points within the codes.
MatrixPtr matrix_of(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols) {
  std::mt19937 random(3);
  QuantizedMatrix m;
  m.allocate(scheme, rows, cols, 0, rows);
  const unsigned mask = (1u << scheme.code.bits) - 1;
  for (std::uint8_t& code : m.codes) code = static_cast<std::uint8_t>(random() & mask);
  const auto fill = [&random](ElementType type, std::vector<std::byte>& bytes) {
    std::vector<float> values(bytes.size() * 8 / static_cast<std::size_t>(element_info(type).bits));
    for (float& value : values) value = 1.0f + static_cast<float>(random() % 1024) / 1024.0f;
    encode_elements(type, values.data(), values.size(), bytes.data());
  };
  if (scheme.scale && !scheme.scale->nested) fill(scheme.scale->element, m.scale.entries);
  if (scheme.scale && scheme.scale->nested) {
    fill(scheme.scale->nested->outer, m.scale.outer);
    for (std::uint8_t& code : m.scale.codes)
      code = static_cast<std::uint8_t>(random() & ((1u << scheme.scale->nested->code.bits) - 1));
  }
  for (std::size_t i = 0; i + 1 < m.zero.entries.size(); i += 2) {
    const auto zero = static_cast<std::int16_t>(static_cast<int>(random() % (mask + 1)) - scheme.code.bias);
    std::memcpy(m.zero.entries.data() + i, &zero, 2);
  }
  for (std::int32_t& group : m.group_index)
    group = static_cast<std::int32_t>(random() % static_cast<unsigned>(scheme.scale->grouping.size));
  return make_source(std::move(m));
}

struct Case {
  const char* scheme;
  std::int64_t cols;
  const char* family;
  const char* target;  ///< or nullptr
  bool exact = true;
  const char* reason = "";
};

TEST(FindTarget, TheSmallestThatSaysTheSame) {
  const Case cases[] = {
      // GGUF
      {"q4_k", 512, "gguf", "q4_k"},
      {"int4-g128-sym", 256, "gguf", "q4_0"},
      {"int4-g128-sym", 144, "gguf", nullptr, false, "no GGUF type"},
      {"int4-channel-sym", 64, "gguf", "q4_0"},
      {"int4-g48-sym", 96, "gguf", nullptr, false, "no GGUF type"},
      {"int4-g128-sym+dyn-token", 256, "gguf", "q4_0"},
      {"int4-g128-asym", 256, "gguf", "q5_0"},
      {"int3-g64-sym", 64, "gguf", "q4_0"},
      {"int3-g64-asym", 64, "gguf", "q4_0"},
      {"int5-g64-sym", 64, "gguf", "q5_0"},
      {"int5-g64-asym", 64, "gguf", "q8_0"},
      {"int7-g64-asym", 64, "gguf", "q8_0"},
      {"int8-channel-sym", 64, "gguf", "q8_0"},
      {"int8-tensor-sym", 64, "gguf", "q8_0"},
      {"int4-flat64-sym", 128, "gguf", "q4_0"},
      {"int4-flat48-sym", 96, "gguf", nullptr, false, "no GGUF type"},
      {"int4-block16x64-sym", 128, "gguf", "q4_0"},
      {"ternary-g512", 512, "gguf", "tq2_0"},
      {"ternary-g128", 512, "gguf", "q2_0"},
      {"binary-g256", 512, "gguf", "q1_0"},
      {"nf4-g64", 64, "gguf", nullptr, false, "no GGUF type"},
      {"fp8-e4m3-channel", 64, "gguf", nullptr, false, "no GGUF type"},
      {"codebook4-row", 64, "gguf", nullptr, false, "no GGUF type"},
      // bf16 scales between 1 and 2 are halves, f32 ones of 10 bits too: decided on the data
      {"int4-g32-sym-scale:bf16", 256, "gguf", "q4_0"},
      {"int4-g32-sym-scale:f32", 256, "gguf", "q4_0"},
      // to GPTQ, AWQ, compressed-tensors, FP8
      {"q4_0", 256, "gptq", "int4-g32-sym"},
      {"q8_0", 256, "gptq", "int8-g32-sym"},
      {"q5_0", 256, "gptq", "int8-g32-sym"},
      {"int4-g128-asym", 256, "awq", "int4-g128-asym"},
      {"q4_0", 256, "compressed-tensors", "int4-g32-sym"},
      {"q6_k", 256, "compressed-tensors", "int6-g16-sym-scale:f32"},
      {"iq4_nl", 256, "gptq", "int8-g32-sym"},
      {"fp8-e4m3-tensor-scale:f32", 256, "compressed-tensors", "fp8-e4m3-tensor-scale:f32"},
      {"nf4-flat64-dq", 256, "bitsandbytes", "nf4-flat64-dq"},
      // codes kept
      {"q4_1", 256, "gguf", "q4_1"},
  };
  for (const Case& one : cases) {
    const auto scheme = parse_scheme(one.scheme);
    ASSERT_TRUE(scheme.ok()) << one.scheme;
    const auto found = find_target(matrix_of(*scheme, 32, one.cols), *find_family(one.family));
    const std::string what = std::string(one.scheme) + " to " + one.family;
    ASSERT_EQ(found.ok(), one.target != nullptr)
        << what << (found.ok() ? ": " + to_string(found->matrix->scheme()) : ": " + found.error().message);
    if (!found.ok()) {
      EXPECT_NE(found.error().message.find(one.reason), std::string::npos) << found.error().message;
      continue;
    }
    EXPECT_EQ(to_string(found->matrix->scheme()), to_string(*parse_scheme(one.target))) << what;
    EXPECT_EQ(found->exact, one.exact) << what;
    QuantizedMatrix whole;
    EXPECT_TRUE(found->matrix->decode(0, 32, whole).ok()) << what;
  }
}

TEST(FindTarget, KeepsTheCodesWhereTheNamedTypeRoundsItsOffsets) {
  const MatrixPtr source = matrix_of(*parse_scheme("int4-g128-asym"), 32, 256);
  const auto found = find_target(source, *find_family("gguf"), *parse_scheme("q4_1"));
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_FALSE(found->exact);
  QuantizedMatrix from;
  QuantizedMatrix to;
  ASSERT_TRUE(source->decode(0, 32, from).ok());
  ASSERT_TRUE(found->matrix->decode(0, 32, to).ok());
  EXPECT_EQ(from.codes, to.codes);
}

/// Scales move to f32 for the family fp8, which can say that activations have static scales.
TEST(FindTarget, ActivationsAreKeptWhereTheFamilySaysThem) {
  QuantScheme scheme = *parse_scheme("fp8-e4m3-tensor-scale:bf16");
  scheme.activations.kind = ActivationScheme::Kind::kStatic;
  scheme.activations.element = ElementType::kE4m3;
  const auto found = find_target(matrix_of(scheme, 32, 64), *find_family("fp8"));
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_TRUE(found->exact);
  EXPECT_FALSE(found->drops_activations);
  EXPECT_EQ(found->matrix->scheme().activations, scheme.activations);
  scheme.activations.element = ElementType::kI8;  // which it cannot say
  const auto dropped = find_target(matrix_of(scheme, 32, 64), *find_family("fp8"));
  ASSERT_TRUE(dropped.ok()) << dropped.error().message;
  EXPECT_TRUE(dropped->drops_activations);
}

TEST(FindTarget, ActOrderGoesOnlyWhereThereAreGroupIndices) {
  QuantScheme scheme = *parse_scheme("int4-g64-sym");
  scheme.scale->grouping = Grouping::indexed(4);
  const MatrixPtr source = matrix_of(scheme, 32, 256);
  EXPECT_TRUE(find_target(source, *find_family("gptq")).ok());
  EXPECT_TRUE(find_target(source, *find_family("compressed-tensors")).ok());
  for (const char* family : {"gguf", "awq"}) {
    const auto refused = find_target(source, *find_family(family));
    ASSERT_FALSE(refused.ok()) << family;
    EXPECT_NE(refused.error().message.find("g_idx"), std::string::npos) << refused.error().message;
  }
}

TEST(NearestScheme, IsAsWideAndAsFine) {
  const auto nearest = [](const char* scheme, const char* family) {
    const auto found = nearest_scheme(*parse_scheme(scheme), 64, 256, *find_family(family));
    return found.ok() ? to_string(*found) : found.error().message;
  };
  EXPECT_EQ(nearest("nf4-g64", "gguf"), to_string(*parse_scheme("q4_0")));
  EXPECT_EQ(nearest("fp8-e4m3-channel", "gguf"), to_string(*parse_scheme("q8_0")));
  EXPECT_EQ(nearest("q4_k", "gptq"), "int4-g32-sym");
  EXPECT_EQ(nearest("q6_k", "gptq"), "int8-g16-sym");
  EXPECT_EQ(nearest("int4-g32-sym", "fp8"), "fp8-e4m3-block128x128-scale:f32");
  EXPECT_EQ(nearest("int4-g32-sym", "bitsandbytes"), "nf4-g64-scale:f32");
}

}  // namespace
}  // namespace nibble
