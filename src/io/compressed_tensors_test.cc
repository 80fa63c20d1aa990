// compressed-tensors' configuration: groups, targets, activations, as read and as written; what is refused.
#include "io/compressed_tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/compressed_tensors_config.h"
#include "io/family_test_support.h"

namespace nibble {
namespace {

using testing::encode_all;
using ::testing::HasSubstr;
using testing::MemoryCheckpoint;
using testing::random_matrix;

Json group(std::vector<std::string> targets, int bits) {
  return {{"targets", targets}, {"weights", {{"num_bits", bits}, {"strategy", "channel"}}}};
}

CtConfig parsed(const Json& groups) {
  auto config = CtConfig::parse({{"quant_method", "compressed-tensors"}, {"config_groups", groups}}, "f");
  EXPECT_TRUE(config.ok()) << (config.ok() ? "" : config.error().message);
  return std::move(config).value();
}

TEST(CompressedTensors, ExactNamesThenPatternsThenClasses) {
  CtConfig config = parsed({{"a", group({"Linear"}, 4)},
                            {"b", group({"re:.*layers\\.[01]\\.mlp"}, 5)},
                            {"c", group({"model.layers.0.mlp.up_proj"}, 6)},
                            {"d", group({"Embedding"}, 7)}});
  EXPECT_EQ((*config.group_of("model.layers.0.mlp.up_proj"))->key, "c");
  EXPECT_EQ((*config.group_of("model.layers.0.mlp.down_proj"))->key, "b");
  EXPECT_EQ((*config.group_of("model.layers.2.mlp.up_proj"))->key, "a");
  EXPECT_EQ((*config.group_of("model.embed_tokens"))->key, "d");
  // Library versions disagree on what stands before the layers.
  config = parsed({{"a", group({"re:nothing"}, 4)}, {"b", group({"language_model.model.layers.0.mlp.up_proj"}, 6)}});
  EXPECT_EQ((*config.group_of("model.language_model.layers.0.mlp.up_proj"))->key, "b");
  const auto none = config.group_of("model.layers.1.mlp.up_proj");
  ASSERT_FALSE(none.ok());
  EXPECT_THAT(none.error().message, HasSubstr("model.layers.1.mlp.up_proj"));
}

TEST(CompressedTensors, PresetsAndActivations) {
  CtConfig config = parsed({{"W4A16_ASYM", {"Linear"}}});
  const CtGroup* preset = *config.group_of("m");
  EXPECT_EQ(preset->weights.bits, 4);
  EXPECT_FALSE(preset->weights.symmetric);
  EXPECT_EQ(preset->activations.kind, ActivationScheme::Kind::kNone);
  Json static_fp8 = group({"Linear"}, 8);
  static_fp8["input_activations"] = {{"num_bits", 8}, {"type", "float"}, {"dynamic", false}, {"strategy", "tensor"}};
  config = parsed({{"g", static_fp8}});
  const ActivationScheme act = (*config.group_of("m"))->activations;
  EXPECT_EQ(act.kind, ActivationScheme::Kind::kStatic);
  EXPECT_EQ(act.element, ElementType::kE4m3);
  Json grouped = group({"Linear"}, 8);
  grouped["input_activations"] = {
      {"num_bits", 4}, {"type", "float"}, {"dynamic", "local"}, {"strategy", "tensor_group"}, {"group_size", 16}};
  config = parsed({{"g", grouped}});
  EXPECT_EQ((*config.group_of("m"))->activations.element, ElementType::kF4);
  EXPECT_EQ((*config.group_of("m"))->activations.group, 16);
}

TEST(CompressedTensors, ConfigurationsThatCannotBeReadAreNamed) {
  const auto error_of = [](const Json& config) {
    const auto result = CtConfig::parse(config, "f");
    return result.ok() ? std::string() : result.error().message;
  };
  EXPECT_EQ(error_of({{"sparsity_config", Json::object()}}), "");
  EXPECT_EQ(error_of({{"sparsity_config", {{"format", "dense"}}}}), "");
  EXPECT_THAT(error_of({{"sparsity_config", {{"format", "sparse-24-bitmask"}}}}), HasSubstr("sparsity_config"));
  EXPECT_THAT(error_of({{"transform_config", {{"config_groups", {{"a", 1}}}}}}), HasSubstr("transform_config"));
  EXPECT_THAT(error_of({{"format", "marlin-24"}}), HasSubstr("marlin-24"));
  EXPECT_THAT(error_of({{"moe_sparsity_config", {{"experts", 4}}}}), HasSubstr("moe_sparsity_config"));
  const Json fp6 = {{"num_bits", 6}, {"type", "float"}};
  EXPECT_THAT(error_of({{"config_groups", {{"g", {{"weights", fp6}}}}}}), HasSubstr("mxfp6"));
  EXPECT_EQ(error_of({{"config_groups", {{"g", {{"input_activations", fp6}}}}}}), "");  // weights only
  EXPECT_THAT(error_of({{"config_groups", 3}}), HasSubstr("config_groups"));
  EXPECT_THAT(error_of({{"config_groups", {{"W3A3", {"Linear"}}}}}), HasSubstr("W4A16"));
  const std::vector<std::pair<std::string, Json>> fields = {
      {"num_bits", 9},   {"num_bits", "4"},          {"type", "bool"},
      {"group_size", 0}, {"block_structure", "8y8"}, {"block_structure", Json::array({0, 8})},
      {"strategy", 1},   {"permutation", "x"}};
  for (const auto& [field, value] : fields) {
    Json config = {{"config_groups", {{"g", {{"weights", Json::object()}}}}}};
    config["config_groups"]["g"]["weights"][field] = value;
    EXPECT_THAT(error_of(config), HasSubstr(field));
  }
}

TEST(CompressedTensors, WrittenConfigNamesModulesOnlyWhereSchemesDiffer) {
  const QuantScheme four = parse_scheme("int4-g32-sym").value();
  QuantScheme four_f32 = four;
  four_f32.scale->element = ElementType::kF32;  // the configuration does not say
  const QuantScheme eight = parse_scheme("int8-channel-sym+dyn-token").value();
  const std::vector<std::string> ignored = {"lm_head"};
  std::vector<WrittenModule> modules = {{"a", four, true, 32, 64}, {"b", four_f32, true, 32, 64}};
  Json config = ct_write_config(modules, ignored);
  EXPECT_EQ(config["ignore"], Json::array({"lm_head"}));
  ASSERT_EQ(config["config_groups"].size(), 1u);
  EXPECT_EQ(config["config_groups"]["group_0"]["targets"], Json::array({"Linear"}));
  EXPECT_EQ(config["format"], "pack-quantized");
  modules.push_back({"c", eight, true, 32, 64});
  config = ct_write_config(modules, ignored);
  EXPECT_EQ(config["format"], "mixed-precision");
  EXPECT_EQ(config["config_groups"]["group_0"]["targets"], Json::array({"a", "b"}));
  EXPECT_EQ(config["config_groups"]["group_1"]["targets"], Json::array({"c"}));
  EXPECT_EQ(config["config_groups"]["group_1"]["format"], "int-quantized");
  EXPECT_EQ(config["config_groups"]["group_1"]["input_activations"]["strategy"], "token");
}

/// A checkpoint of two schemes and a module that was left in float.
TEST(CompressedTensors, SeveralGroupsReadBack) {
  const QuantScheme schemes[] = {parse_scheme("int4-g32-asym").value(),
                                 parse_scheme("fp8-e4m3-channel+dyn-token").value(),
                                 parse_scheme("int8-tensor-sym+static").value()};
  MemoryCheckpoint checkpoint;
  std::vector<WrittenModule> modules;
  for (std::size_t i = 0; i < 3; ++i) {
    const std::string name = "model.layers." + std::to_string(i) + ".mlp.up_proj";
    const QuantizedMatrix matrix = random_matrix(schemes[i], 40, 64, 7);
    testing::add_encoded(checkpoint, encode_all(kCompressedTensorsFamily, *make_source(matrix), name));
    modules.push_back({name, schemes[i], true, 40, 64});
  }
  checkpoint.add("lm_head.weight", ElementType::kF16, {2, 2}, std::vector<std::byte>(8));
  checkpoint.quantization_config = ct_write_config(modules, {});
  const auto opened = checkpoint.open(kCompressedTensorsFamily);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  ASSERT_EQ(opened->size(), 3u);
  for (const FamilyModule& module : *opened) {
    const auto written =
        std::find_if(modules.begin(), modules.end(), [&](const auto& m) { return m.module == module.module; });
    ASSERT_NE(written, modules.end());
    EXPECT_TRUE(module.weight->scheme() == written->scheme) << to_string(module.weight->scheme());
  }
}

TEST(CompressedTensors, ThreeDimensionalExpertsAreRows) {
  const QuantScheme scheme = parse_scheme("int4-g32-sym").value();
  const QuantizedMatrix matrix = random_matrix(scheme, 48, 64, 3);
  auto encoded = encode_all(kCompressedTensorsFamily, *make_source(matrix), "experts");
  encoded.erase("experts.weight_shape");
  for (auto& [name, tensor] : encoded) tensor.plan.shape = {4, 12, tensor.plan.shape[1]};
  MemoryCheckpoint checkpoint;
  testing::add_encoded(checkpoint, encoded);
  const WrittenModule written{"experts", scheme, true, 48, 64};
  checkpoint.quantization_config = ct_write_config({&written, 1}, {});
  const MatrixPtr back = testing::open_one(checkpoint, kCompressedTensorsFamily);
  ASSERT_NE(back, nullptr);
  testing::expect_same_matrix(testing::decode_rows(*back, 0, 48), matrix);
}

TEST(CompressedTensors, ActOrderNeedsEqualGroups) {
  QuantScheme scheme = parse_scheme("int4-g32-sym").value();
  scheme.scale->grouping = Grouping::indexed(2);
  QuantizedMatrix matrix = random_matrix(scheme, 8, 64, 3);
  matrix.group_index[0] = 1 - matrix.group_index[0];
  const Status status = kCompressedTensorsFamily.encode(matrix, "m", [](auto, auto, auto) { return Status(); });
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message, HasSubstr("groups"));
}

TEST(CompressedTensors, SaysWhatItCannotHold) {
  for (const char* name : {"nf4-g64", "codebook4-row", "fp8-e5m2-channel", "ternary-g64", "int4-flat64"}) {
    const Status status = kCompressedTensorsFamily.can_express(parse_scheme(name).value(), 64, 64);
    ASSERT_FALSE(status.ok()) << name;
    EXPECT_THAT(status.error().message, HasSubstr("compressed-tensors"));
  }
  EXPECT_FALSE(kCompressedTensorsFamily.can_express(parse_scheme("int4-g64").value(), 64, 96).ok());
}

}  // namespace
}  // namespace nibble
