// What a configuration may not set in any family, and what the families that are only read refuse of their own.
#include "io/refused_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/family_test_support.h"

namespace nibble {
namespace {

using ::testing::HasSubstr;

std::string refusal(const Json& config, std::span<const RefusedField> fields = {}) {
  const Status status = refuse_fields(config, fields, "here");
  return status.ok() ? "" : status.error().message;
}

/// The error of a checkpoint that has this configuration and no tensors.
std::string error_of(std::string_view family, const Json& config) {
  testing::MemoryCheckpoint checkpoint;
  checkpoint.quantization_config = config;
  const auto modules = checkpoint.open(*find_family(family));
  return modules.ok() ? "" : modules.error().message;
}

TEST(RefusedFields, AbsentEmptyAndAllowedValuesSetNothing) {
  constexpr RefusedField kFields[] = {{"kind", "one two"}, {"other"}};
  for (const Json& value : {Json(), Json(false), Json(""), Json::array(), Json::object(), Json("one"), Json("two"),
                            Json{{"format", "two"}, {"a", 1}}})
    EXPECT_EQ(refusal({{"kind", value}}, kFields), "") << value;
  for (const Json& value :
       {Json(true), Json(0), Json("three"), Json("on"), Json("one two"), Json::array({0}), Json{{"format", ""}}})
    EXPECT_THAT(refusal({{"kind", value}}, kFields), HasSubstr("here: \"kind\"")) << value;
  EXPECT_THAT(refusal({{"kind", "three"}}, kFields), HasSubstr("one two"));
  EXPECT_THAT(refusal({{"other", "one"}}, kFields), HasSubstr("\"other\""));
  EXPECT_EQ(refusal(Json(), kFields), "");
  EXPECT_EQ(refusal({{"sparsity_config", {{"format", "dense"}}}}), "");
  EXPECT_THAT(refusal({{"sparsity_config", {{"format", "bitmask"}}}}), HasSubstr("\"sparsity_config\""));
}

/// Every family that reads a quantization_config; "nibble" writes its own and GGUF has none.
TEST(RefusedFields, NoFamilyReadsTransformedWeights) {
  for (const Family* family : all_families()) {
    if (family->name == "gguf" || family->name == "nibble") continue;
    for (const char* key : {"rotation", "rotation_config", "transform_config", "sparsity_config", "adapter"}) {
      SCOPED_TRACE(fmt::format("{} {}", family->name, key));
      EXPECT_EQ(error_of(family->name, {{key, nullptr}}), "");
      EXPECT_THAT(error_of(family->name, {{key, {{"size", 64}}}}), HasSubstr(fmt::format("\"{}\"", key)));
    }
  }
}

TEST(RefusedFields, OfSingleFamilies) {
  const auto params = [](const char* key, const Json& value) { return Json{{"quant_config", {{key, value}}}}; };
  const std::tuple<const char*, const char*, Json> cases[] = {
      {"hqq", "scale_quant_params", params("scale_quant_params", {{"nbits", 8}})},
      {"hqq", "zero_quant_params", params("self_attn.q_proj", {{"zero_quant_params", {{"nbits", 8}}}})},
      {"hqq", "quant_zero", params("weight_quant_params", {{"quant_zero", true}})},
      {"quanto", "weights", {{"weights", "int3"}}},
      {"modelopt", "quant_algo", {{"quant_algo", "W4A16_AWQ"}}},
      {"modelopt", "quant_algo", {{"quantization", {{"quant_algo", "NVFP4_AWQ"}}}}},
      {"modelopt", "quant_algo", {{"quantized_layers", {{"model.layers.0", {{"quant_algo", "FP8_PB_WO"}}}}}}},
      {"modelopt", "pre_quant_scale", {{"quantization", {{"pre_quant_scale", true}}}}},
      {"modelopt", "has_zero_point", {{"has_zero_point", true}}},
      {"fp8", "fmt", {{"quant_method", "fbgemm_fp8"}, {"fmt", "e5m2"}}},
      {"fp8", "scale_fmt", {{"scale_fmt", "e3m4"}}},
      {"fp8", "expert_dtype", {{"expert_dtype", "int4"}}}};
  for (const auto& [family, field, config] : cases)
    EXPECT_THAT(error_of(family, config), HasSubstr(fmt::format("\"{}\" is ", field))) << family << " " << config;
}

/// Activations, the KV cache and the tuning of other writers change no weight.
TEST(RefusedFields, WhatChangesNoWeightIsRead) {
  const std::pair<const char*, Json> cases[] = {
      {"hqq", {{"skip_modules", {"lm_head"}}, {"quant_config", {{"weight_quant_params", {{"round_zero", true}}}}}}},
      {"quanto", {{"weights", "qint4"}, {"activations", "float8"}, {"modules_to_not_convert", {"lm_head"}}}},
      {"mxfp4", {{"modules_to_not_convert", {"lm_head"}}, {"dequantize", true}}},
      {"modelopt", {{"quant_algo", "NVFP4"}, {"kv_cache_scheme", {{"num_bits", 8}}}}},
      {"modelopt", {{"quantization", {{"quant_algo", "FP8"}, {"kv_cache_quant_algo", "FP8"}}}}},
      {"fp8", {{"activation_scheme", "static"}, {"scale_fmt", "ue8m0"}, {"kv_cache_scheme", {{"num_bits", 8}}}}},
      {"fp8", {{"quant_method", "fbgemm_fp8"}, {"activation_scale_ub", 1200.0}}}};
  for (const auto& [family, config] : cases) EXPECT_EQ(error_of(family, config), "") << family << " " << config;
}

}  // namespace
}  // namespace nibble
