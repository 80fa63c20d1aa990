// Configurations of GPTQ, AWQ, bitsandbytes, FP8 and AutoRound: what they say about single modules, quirks of files in
// circulation, and what is refused by name. (compressed-tensors and nibble have tests of their own.)
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "io/auto_round.h"
#include "io/awq.h"
#include "io/bitsandbytes.h"
#include "io/family_test_support.h"
#include "io/fp8.h"
#include "io/gptq.h"

namespace nibble {
namespace {

using testing::add_encoded;
using testing::decode_rows;
using testing::encode_all;
using ::testing::HasSubstr;
using testing::MemoryCheckpoint;
using testing::open_one;
using testing::random_matrix;

/// A module as its family writes it, under another configuration.
struct Written {
  QuantizedMatrix matrix;
  std::map<std::string, testing::EncodedTensor> tensors;

  Written(const Family& family, const char* scheme, std::int64_t rows = 64, std::int64_t cols = 96)
      : matrix(random_matrix(parse_scheme(scheme).value(), rows, cols, 4)),
        tensors(encode_all(family, *make_source(matrix), "m")) {}

  mutable std::vector<std::shared_ptr<MemoryCheckpoint>> opened;  ///< the modules' bytes: they live as long as this

  Result<std::vector<FamilyModule>> open(const Family& family, const Json& config) const {
    MemoryCheckpoint& checkpoint = *opened.emplace_back(std::make_shared<MemoryCheckpoint>());
    add_encoded(checkpoint, tensors);
    checkpoint.quantization_config = config;
    auto modules = checkpoint.open(family);
    if (modules.ok())
      for (const FamilyModule& module : *modules) testing::check_ranges(*module.weight);
    return modules;
  }
  std::string error(const Family& family, const Json& config) const {
    const auto modules = open(family, config);
    return modules.ok() ? "" : modules.error().message;
  }
};

TEST(GptqConfig, DynamicOverridesModules) {
  const Written module(kGptqFamily, "int8-g32-asym");
  const Json base = {{"bits", 4}, {"group_size", 128}, {"sym", true}, {"checkpoint_format", "gptq_v2"}};
  EXPECT_THAT(module.error(kGptqFamily, base), HasSubstr("qweight"));  // 8 bits are not 4
  Json config = base;
  config["dynamic"] = {{"-:other", Json::object()}, {"+:^m$", {{"bits", 8}, {"group_size", 32}, {"sym", false}}}};
  const auto opened = module.open(kGptqFamily, config);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  testing::expect_same_matrix(decode_rows(*opened->front().weight, 0, 64), module.matrix);
  config["dynamic"] = {{"(m", {{"bits", 8}}}};
  EXPECT_THAT(module.error(kGptqFamily, config), HasSubstr("dynamic"));
}

TEST(GptqConfig, WithoutConfigurationTensorsAreEnough) {
  const Written module(kGptqFamily, "int4-g32-sym");
  MemoryCheckpoint checkpoint;
  add_encoded(checkpoint, module.tensors);
  EXPECT_TRUE(checkpoint.detected_by(kGptqFamily));
  const MatrixPtr matrix = open_one(checkpoint, kGptqFamily);
  ASSERT_NE(matrix, nullptr);
  testing::expect_same_matrix(decode_rows(*matrix, 0, 64), module.matrix);
}

TEST(GptqConfig, OldFilesWithoutGroupIndexAndZeros) {
  Written module(kGptqFamily, "int4-g32-sym");
  module.tensors.erase("m.g_idx");
  module.tensors.erase("m.qzeros");
  const auto opened = module.open(kGptqFamily, {{"bits", 4}, {"group_size", 32}, {"sym", true}});
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  testing::expect_same_matrix(decode_rows(*opened->front().weight, 0, 64), module.matrix);
  EXPECT_THAT(module.error(kGptqFamily, {{"bits", 4}, {"group_size", 32}, {"sym", false}}), HasSubstr("qzeros"));
}

TEST(GptqConfig, RefusalsAreNamed) {
  Written module(kGptqFamily, "int4-g32-sym");
  EXPECT_THAT(module.error(kGptqFamily, {{"checkpoint_format", "marlin"}}), HasSubstr("marlin"));
  EXPECT_THAT(module.error(kGptqFamily, {{"is_marlin_format", true}}), HasSubstr("marlin"));
  EXPECT_THAT(module.error(kGptqFamily, {{"bits", 5}}), HasSubstr("gptq_p"));
  EXPECT_THAT(module.error(kGptqFamily, {{"bits", 1}}), HasSubstr("bits"));
  EXPECT_THAT(module.error(kGptqFamily, {{"group_size", 0}}), HasSubstr("group_size"));
  EXPECT_THAT(module.error(kGptqFamily, {{"sym", "yes"}}), HasSubstr("sym"));
  module.tensors.at("m.g_idx").bytes[0] = std::byte{3};  // three groups: 0, 1, 2
  EXPECT_THAT(module.error(kGptqFamily, {{"bits", 4}, {"group_size", 32}, {"sym", true}}), HasSubstr("g_idx"));
}

TEST(GptqConfig, WrittenConfigTellsModulesApart) {
  const std::vector<WrittenModule> modules = {
      {"model.layers.0.q", parse_scheme("int4-g32-sym").value(), true, 64, 96},
      {"model.layers.0.k", parse_scheme("int8-channel-asym").value(), true, 64, 96}};
  const Json config = kGptqFamily.quantization_config(modules, {});
  EXPECT_EQ(config["checkpoint_format"], "gptq_v2");
  EXPECT_EQ(config["bits"], 4);
  const Json own = config["dynamic"]["+:^model\\.layers\\.0\\.k$"];
  EXPECT_EQ(own["bits"], 8);
  EXPECT_EQ(own["group_size"], -1);
  EXPECT_EQ(own["sym"], false);
}

/// What readers would otherwise look for quantized tensors of; the head has a field of its own.
TEST(GptqConfig, WrittenConfigNamesTheLinearsInFloat) {
  const WrittenModule up{"model.layers.0.up", parse_scheme("int4-g32-sym").value(), true, 64, 96};
  const std::vector<std::string> floats{"model.layers.0.down", "lm_head"};
  const Json config = kGptqFamily.quantization_config({&up, 1}, floats);
  const Json expected = {{"-:^model\\.layers\\.0\\.down$", Json::object()}};
  EXPECT_EQ(config["dynamic"], expected);
  EXPECT_FALSE(kGptqFamily.quantization_config({&up, 1}, std::vector<std::string>{"lm_head"}).contains("dynamic"));
}

/// Files without act-order whose g_idx was never filled.
TEST(GptqConfig, AGroupIndexOfZerosIsNone) {
  Written module(kGptqFamily, "int4-g32-sym");
  auto& index = module.tensors.at("m.g_idx").bytes;
  std::fill(index.begin(), index.end(), std::byte{0});
  const auto opened = module.open(kGptqFamily, {{"bits", 4}, {"group_size", 32}, {"sym", true}});
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  testing::expect_same_matrix(decode_rows(*opened->front().weight, 0, 64), module.matrix);
}

TEST(AwqConfig, OldNamesAndRefusals) {
  const Written module(kAwqFamily, "int4-g32-asym");
  const auto opened = module.open(kAwqFamily, {{"w_bit", 4}, {"q_group_size", 32}, {"version", "GEMM"}});
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  testing::expect_same_matrix(decode_rows(*opened->front().weight, 0, 64), module.matrix);
  EXPECT_THAT(module.error(kAwqFamily, {{"bits", 3}}), HasSubstr("bits"));
  EXPECT_THAT(module.error(kAwqFamily, {{"version", "marlin"}}), HasSubstr("marlin"));
  EXPECT_THAT(module.error(kAwqFamily, {{"bits", 4}, {"group_size", 64}}), HasSubstr("scales"));
}

TEST(AwqConfig, SymmetricCodesAreAroundEight) {
  const Written module(kAwqFamily, "int4-g32-sym");
  const auto opened = module.open(kAwqFamily, {{"bits", 4}, {"group_size", 32}, {"zero_point", false}});
  ASSERT_TRUE(opened.ok());
  testing::expect_same_matrix(decode_rows(*opened->front().weight, 0, 64), module.matrix);
  // A reader that does not know sees the zero points 8 and gets the same values.
  const auto plain = module.open(kAwqFamily, {{"bits", 4}, {"group_size", 32}, {"zero_point", true}});
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(testing::values_of(decode_rows(*plain->front().weight, 0, 64)), testing::values_of(module.matrix));
}

TEST(BitsandbytesConfig, QuantStateIsChecked) {
  const Written module(kBitsandbytesFamily, "nf4-g32-dq");
  const std::string name = "m.weight.quant_state.bitsandbytes__nf4";
  const auto with_state = [&](const std::string& text) {
    Written changed = module;
    auto& tensor = changed.tensors.at(name);
    const auto bytes = std::as_bytes(std::span(text));
    tensor.bytes.assign(bytes.begin(), bytes.end());
    tensor.plan.shape = {static_cast<std::int64_t>(text.size())};
    return changed.error(kBitsandbytesFamily, nullptr);
  };
  EXPECT_EQ(with_state(R"({"quant_type": "nf4", "blocksize": 32, "shape": [64, 96], "nested_blocksize": 256})"), "");
  EXPECT_THAT(with_state("{"), HasSubstr("quant_state"));
  EXPECT_THAT(with_state(R"({"quant_type": "fp4", "blocksize": 32, "shape": [64, 96]})"), HasSubstr("fp4"));
  EXPECT_THAT(with_state(R"({"blocksize": 32, "shape": [64, 96], "offset": 1})"), HasSubstr("\"offset\""));
  EXPECT_THAT(with_state(R"({"blocksize": 0, "shape": [64, 96]})"), HasSubstr("blocksize"));
  EXPECT_THAT(with_state(R"({"blocksize": 32, "shape": [64, -96]})"), HasSubstr("shape"));
  EXPECT_THAT(with_state(R"({"blocksize": 32, "shape": [64, 9600]})"), HasSubstr("weight"));
  EXPECT_THAT(with_state(R"({"blocksize": 64, "shape": [64, 96]})"), HasSubstr("absmax"));
  EXPECT_THAT(with_state(R"({"blocksize": 32, "shape": [2147483647, 2147483647]})"), HasSubstr("weight"));
}

TEST(BitsandbytesConfig, MapsOfOtherVersionsAndOtherStorage) {
  Written module(kBitsandbytesFamily, "nf4-flat64-dq", 10, 72);
  module.tensors.at("m.weight.nested_quant_map").bytes[0] ^= std::byte{1};  // one ulp
  auto& weight = module.tensors.at("m.weight");
  weight.plan.element = ElementType::kBf16;
  weight.plan.shape = {180, 1};
  const auto opened = module.open(kBitsandbytesFamily, {{"llm_int8_threshold", 5.0}});
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  const QuantizedMatrix read = decode_rows(*opened->front().weight, 0, 10);
  EXPECT_TRUE(read.codes == module.matrix.codes);
  EXPECT_EQ(read.scheme.scale->nested->code.table, TableKind::kStored);
  EXPECT_EQ(read.scale.table.size(), 256u);
  module.tensors.at("m.weight.quant_map").bytes[3] = std::byte{0};
  EXPECT_THAT(module.error(kBitsandbytesFamily, nullptr), HasSubstr("quant_map"));
}

TEST(BitsandbytesConfig, Int8KeepsItsThreshold) {
  QuantScheme scheme = parse_scheme("int8-channel-sym-scale:f32+dyn-token").value();
  scheme.post_scale = 7.874015718698502e-3f;
  scheme.activations.outlier_threshold = 5.0f;
  const QuantizedMatrix matrix = random_matrix(scheme, 8, 16, 2);
  MemoryCheckpoint checkpoint;
  auto tensors = encode_all(kBitsandbytesFamily, *make_source(matrix), "m");
  const WrittenModule written{"m", scheme, true, 8, 16};
  checkpoint.quantization_config = kBitsandbytesFamily.quantization_config({&written, 1}, {});
  add_encoded(checkpoint, tensors);
  testing::expect_same_matrix(decode_rows(*open_one(checkpoint, kBitsandbytesFamily), 0, 8), matrix);
  tensors.at("m.weight_format").bytes[0] = std::byte{2};
  MemoryCheckpoint turing;
  add_encoded(turing, tensors);
  EXPECT_THAT(turing.open(kBitsandbytesFamily).error().message, HasSubstr("weight_format"));
}

TEST(Fp8Config, GridsMustFitTheBlocks) {
  const Written module(kFp8Family, "fp8-e4m3-block32x48-scale:f32", 100, 100);
  EXPECT_EQ(module.error(kFp8Family, {{"quant_method", "fp8"}, {"weight_block_size", {32, 48}}}), "");
  EXPECT_THAT(module.error(kFp8Family, {{"quant_method", "fp8"}, {"weight_block_size", {64, 48}}}),
              HasSubstr("weight_scale_inv"));
  EXPECT_THAT(module.error(kFp8Family, {{"quant_method", "fp8"}, {"weight_block_size", {0, 48}}}),
              HasSubstr("weight_block_size"));
  EXPECT_THAT(module.error(kFp8Family, {{"quant_method", "fp8"}}), HasSubstr("weight_scale_inv"));
}

TEST(Fp8Config, ChannelScalesOfFbgemm) {
  const QuantizedMatrix matrix = random_matrix(parse_scheme("fp8-e4m3-channel-scale:f32+dyn-token").value(), 8, 16, 2);
  MemoryCheckpoint checkpoint;
  const auto bytes = std::as_bytes(std::span(matrix.codes));
  checkpoint.add("m.weight", ElementType::kE4m3, {8, 16}, {bytes.begin(), bytes.end()});
  checkpoint.add("m.weight_scale", ElementType::kF32, {8, 1}, matrix.scale.entries);
  checkpoint.quantization_config = {{"quant_method", "fbgemm_fp8"}, {"activation_scale_ub", 1200.0}};
  testing::expect_same_matrix(decode_rows(*open_one(checkpoint, kFp8Family), 0, 8), matrix);
}

/// One scale goes by transformers' name; vLLM's is read as well. Without a configuration, one scale is no block's.
TEST(Fp8Config, OneScaleByEitherName) {
  Written module(kFp8Family, "fp8-e4m3-tensor-scale:f32+dyn-token");
  ASSERT_TRUE(module.tensors.contains("m.weight_scale_inv"));
  const WrittenModule written{"m", module.matrix.scheme, true, 64, 96};
  const Json config = kFp8Family.quantization_config({&written, 1}, {});
  ASSERT_TRUE(config.contains("weight_block_size"));  // transformers takes an absent one for 128 x 128
  EXPECT_TRUE(config["weight_block_size"].is_null());
  for (const Json& given : {config, Json()}) {
    const auto opened = module.open(kFp8Family, given);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    const QuantizedMatrix read = decode_rows(*opened->front().weight, 0, 64);
    EXPECT_EQ(read.scheme.scale->grouping, Grouping::tensor());
    EXPECT_EQ(read.codes, module.matrix.codes);
    EXPECT_TRUE(read.scale == module.matrix.scale);
  }
  Json blocks = config;
  blocks["weight_block_size"] = {32, 48};
  EXPECT_THAT(module.error(kFp8Family, blocks), HasSubstr("weight_scale_inv"));
  module.tensors["m.weight_scale"] = module.tensors.at("m.weight_scale_inv");
  module.tensors.erase("m.weight_scale_inv");
  const auto opened = module.open(kFp8Family, config);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  testing::expect_same_matrix(decode_rows(*opened->front().weight, 0, 64), module.matrix);
}

/// llama4 by fbgemm: codes [experts, inputs, outputs] under a scale per output.
TEST(Fp8Config, FusedExpertsOfFbgemm) {
  constexpr std::int64_t kExperts = 3;
  constexpr std::int64_t kInputs = 16;
  constexpr std::int64_t kOutputs = 8;
  const QuantScheme scheme = parse_scheme("fp8-e4m3-channel-scale:f32+dyn-token").value();
  const QuantizedMatrix matrix = random_matrix(scheme, kExperts * kOutputs, kInputs, 2);
  std::vector<std::byte> stored(matrix.codes.size());
  for (std::int64_t row = 0; row < matrix.rows; ++row)
    for (std::int64_t c = 0; c < kInputs; ++c)
      stored[static_cast<std::size_t>((row / kOutputs * kInputs + c) * kOutputs + row % kOutputs)] =
          static_cast<std::byte>(matrix.codes[static_cast<std::size_t>(row * kInputs + c)]);
  const auto opened = [&](ElementType element, const char* scale, std::vector<std::byte> scales) {
    MemoryCheckpoint checkpoint;
    checkpoint.add("mlp.experts.up", element, {kExperts, kInputs, kOutputs}, stored);
    const auto count = static_cast<std::int64_t>(scales.size() / 4);
    checkpoint.add(scale, ElementType::kF32, {count}, std::move(scales));
    checkpoint.quantization_config = {{"quant_method", "fbgemm_fp8"}};
    const auto modules = checkpoint.open(kFp8Family);
    if (!modules.ok()) return modules.error().message;
    EXPECT_EQ(modules->size(), 1u);
    EXPECT_EQ(modules->front().consumed.size(), 2u);
    testing::check_ranges(*modules->front().weight);
    testing::expect_same_matrix(decode_rows(*modules->front().weight, 0, matrix.rows), matrix);
    return std::string();
  };
  const std::vector<std::byte>& scales = matrix.scale.entries;
  EXPECT_EQ(opened(ElementType::kE4m3, "mlp.experts.up_scale", scales), "");
  EXPECT_THAT(opened(ElementType::kE4m3, "mlp.experts.up_scale", {scales.begin(), scales.end() - 4}),
              HasSubstr("mlp.experts.up_scale"));
  EXPECT_THAT(opened(ElementType::kE4m3, "mlp.experts.up_scale_inv", scales), HasSubstr("\"mlp.experts.up\""));
  EXPECT_THAT(opened(ElementType::kE5m2, "mlp.experts.up_scale", scales), HasSubstr("F8_E5M2"));
}

/// Weights of eight bits with a scale beside them are never read without it.
TEST(Fp8Config, OtherCodesUnderAScaleAreRefused) {
  for (const ElementType element : {ElementType::kE5m2, ElementType::kI8}) {
    Written module(kFp8Family, "fp8-e4m3-tensor-scale:f32+dyn-token");
    module.tensors.at("m.weight").plan.element = element;
    EXPECT_THAT(module.error(kFp8Family, {{"quant_method", "fp8"}}), HasSubstr("module \"m\""));
  }
}

/// Every family names the field that it does not implement.
TEST(FamilyConfig, FieldsThatChangeWeightsAreRefusedByName) {
  const Written gptq(kGptqFamily, "int4-g32-sym");
  const Json common = {{"bits", 4}, {"group_size", 32}, {"sym", true}};
  const auto with = [&common](const char* key, const Json& value) {
    Json config = common;
    config[key] = value;
    return config;
  };
  EXPECT_EQ(gptq.error(kGptqFamily, with("rotation", nullptr)), "");
  EXPECT_EQ(gptq.error(kGptqFamily, with("pack_dtype", "int32")), "");
  EXPECT_THAT(gptq.error(kGptqFamily, with("rotation", "hadamard")), HasSubstr("\"rotation\""));
  EXPECT_THAT(gptq.error(kGptqFamily, with("adapter", {{"rank", 8}})), HasSubstr("\"adapter\""));
  EXPECT_THAT(gptq.error(kGptqFamily, with("pack_dtype", "int64")), HasSubstr("\"pack_dtype\""));
  EXPECT_EQ(gptq.error(kAutoRoundFamily, with("super_bits", nullptr)), "");
  EXPECT_THAT(gptq.error(kAutoRoundFamily, with("super_bits", 6)), HasSubstr("\"super_bits\""));
  EXPECT_THAT(gptq.error(kAutoRoundFamily, with("rotation_config", {{"block", 32}})), HasSubstr("\"rotation_config\""));
  const Written awq(kAwqFamily, "int4-g32-asym");
  EXPECT_EQ(awq.error(kAwqFamily, {{"bits", 4}, {"group_size", 32}, {"rotation", ""}}), "");
  EXPECT_THAT(awq.error(kAwqFamily, {{"bits", 4}, {"group_size", 32}, {"rotation", "random"}}), HasSubstr("rotation"));
  const Written fp8(kFp8Family, "fp8-e4m3-block32x48-scale:f32", 64, 96);
  const Json blocks = {{"quant_method", "fp8"}, {"weight_block_size", {32, 48}}, {"fmt", "e4m3"}};
  EXPECT_EQ(fp8.error(kFp8Family, blocks), "");
  Json other = blocks;
  other["fmt"] = "e5m2";
  EXPECT_THAT(fp8.error(kFp8Family, other), HasSubstr("\"fmt\""));
}

TEST(AutoRoundConfig, WrittenConfigTellsModulesApart) {
  const WrittenModule up{"model.layers.0.up", parse_scheme("int4-g32-sym").value(), true, 64, 96};
  const WrittenModule down{"model.layers.0.down", parse_scheme("int8-channel-asym").value(), true, 64, 96};
  const WrittenModule head{"lm_head", parse_scheme("int4-g32-sym").value(), true, 64, 96};
  const auto written = [](std::vector<WrittenModule> modules, std::vector<std::string> unquantized) {
    return kAutoRoundFamily.quantization_config(modules, unquantized);
  };
  EXPECT_EQ(written({up}, {})["packing_format"], "auto_round:auto_gptq");
  EXPECT_FALSE(written({up}, {}).contains("extra_config"));
  const Json mixed = written({up, down, head}, {"model.layers.0.gate"});
  EXPECT_EQ(mixed["packing_format"], "auto_round");
  EXPECT_EQ(mixed["sym"], true);
  const Json expected = {{"model.layers.0.down", {{"bits", 8}, {"group_size", -1}, {"sym", false}}},
                         {"lm_head", {{"bits", 4}, {"group_size", 32}, {"sym", true}}},
                         {"model.layers.0.gate", {{"bits", 16}}}};
  EXPECT_EQ(mixed["extra_config"], expected);
}

/// "mlp.gate" names a module in float and is no pattern that mlp.gate_proj would match.
TEST(AutoRoundConfig, NamesOfFloatModulesAreNoPatterns) {
  const QuantizedMatrix matrix = random_matrix(parse_scheme("int4-g32-asym").value(), 64, 96, 4);
  MemoryCheckpoint checkpoint;
  add_encoded(checkpoint, encode_all(kAutoRoundFamily, *make_source(matrix), "mlp.gate_proj"));
  const WrittenModule written{"mlp.gate_proj", matrix.scheme, true, 64, 96};
  checkpoint.quantization_config =
      kAutoRoundFamily.quantization_config({&written, 1}, std::vector<std::string>{"mlp.gate"});
  EXPECT_FALSE(checkpoint.open(kAutoRoundFamily).ok());  // without mlp.gate, its name is a pattern: 16 bits
  checkpoint.add("mlp.gate.weight", ElementType::kF16, {1, 1}, std::vector<std::byte>(2));
  testing::expect_same_matrix(decode_rows(*open_one(checkpoint, kAutoRoundFamily), 0, 64), matrix);
}

/// One label for all zero points: symmetric modules beside asymmetric ones are written with theirs.
TEST(FamilyConfig, ModulesOfOneCheckpointAgree) {
  const QuantScheme symmetric = parse_scheme("int4-g32-sym").value();
  const std::vector<QuantScheme> alone{symmetric};
  const std::vector<QuantScheme> mixed{symmetric, parse_scheme("int8-channel-asym").value()};
  for (const Family* family : {&kGptqFamily, &kAutoRoundFamily}) {
    EXPECT_TRUE(family->scheme_among(symmetric, alone).value() == symmetric);
    EXPECT_TRUE(family->scheme_among(symmetric, mixed).value() == parse_scheme("int4-g32-asym").value());
    EXPECT_TRUE(family->scheme_among(mixed[1], mixed).value() == mixed[1]);
  }
  EXPECT_TRUE(kAwqFamily.scheme_among(symmetric, alone).ok());
  const std::vector<QuantScheme> sizes{symmetric, parse_scheme("int4-g64-sym").value()};
  EXPECT_THAT(kAwqFamily.scheme_among(symmetric, sizes).error().message, HasSubstr("int4-g64-sym"));
  const std::vector<QuantScheme> blocks{parse_scheme("fp8-e4m3-block32x32-scale:f32").value(),
                                        parse_scheme("fp8-e4m3-tensor-scale:f32").value()};
  EXPECT_TRUE(kFp8Family.scheme_among(blocks[0], std::span(blocks).first(1)).ok());
  EXPECT_THAT(kFp8Family.scheme_among(blocks[0], blocks).error().message, HasSubstr("fp8-e4m3-tensor"));
  QuantScheme with_static = blocks[1];
  with_static.activations.kind = ActivationScheme::Kind::kStatic;
  const std::vector<QuantScheme> activations{blocks[1], with_static};
  EXPECT_FALSE(kFp8Family.scheme_among(blocks[1], activations).ok());
  const std::vector<QuantScheme> tables{parse_scheme("nf4-g64-scale:f32").value(), parse_scheme("nf4-g32-dq").value()};
  EXPECT_TRUE(kBitsandbytesFamily.scheme_among(tables[0], tables).ok());
  const std::vector<QuantScheme> widths{tables[0], parse_scheme("int8-channel-sym-scale:f32+dyn-token").value()};
  EXPECT_THAT(kBitsandbytesFamily.scheme_among(tables[0], widths).error().message, HasSubstr("int8"));
}

TEST(AutoRoundConfig, OtherFormatsAndExactNames) {
  const Written module(kGptqFamily, "int2-g32-sym");
  Json config = {{"quant_method", "auto-round"}, {"bits", 4}, {"group_size", 128}};
  EXPECT_NE(module.error(kAutoRoundFamily, config), "");
  config["extra_config"] = {{"m", {{"bits", 2}, {"group_size", 32}}}, {".", {{"bits", 3}}}};
  const auto opened = module.open(kAutoRoundFamily, config);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  testing::expect_same_matrix(decode_rows(*opened->front().weight, 0, 64), module.matrix);
}

}  // namespace
}  // namespace nibble
