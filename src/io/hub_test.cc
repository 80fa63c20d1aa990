// The hub holds every layout: tensors written by the reference libraries decode to their values, bit for bit after one
// rounding to the type that the library returns, and encode back to the same bytes where Nibble writes the family. Here
// compressed-tensors, bitsandbytes, FP8 and the FP4 layouts; hub_gptq_awq_test.cc and hub_slabs_test.cc have the
// others.
#include <gtest/gtest.h>

#include <cmath>

#include "io/bitsandbytes.h"
#include "io/compressed_tensors.h"
#include "io/family_test_support.h"
#include "io/fp8.h"
#include "io/modelopt.h"
#include "io/mxfp4.h"

namespace nibble {
namespace {

using testing::check_ranges;
using testing::encode_all;
using testing::expect_bytes;
using testing::expect_values;
using testing::golden_file;
using testing::GoldenTensor;
using testing::MemoryCheckpoint;
using testing::open_one;

// ---- compressed-tensors ----

const std::vector<std::string> kCtTensors = {
    "weight",       "weight_packed", "weight_scale", "weight_global_scale", "weight_zero_point",
    "weight_g_idx", "weight_shape"};

MemoryCheckpoint ct_checkpoint(const Json& c, bool before_0_17) {
  MemoryCheckpoint checkpoint;
  for (const std::string& name : kCtTensors) {
    const std::string old = name + "_before_0_17";
    if (c.contains(name)) checkpoint.add("m." + name, before_0_17 && c.contains(old) ? c[old] : c[name]);
  }
  const std::string kind = c["kind"].get<std::string>();
  const bool is_float = kind.find("float") == 0 || kind.find("fp") != std::string::npos;
  Json weights = {{"num_bits", c.value("num_bits", kind.find("fp4") != std::string::npos ? 4 : 8)},
                  {"type", is_float ? "float" : "int"},
                  {"symmetric", c.value("symmetric", true)}};
  if (c.contains("strategy")) weights["strategy"] = c["strategy"];
  if (c.contains("group_size")) weights["group_size"] = c["group_size"];
  if (c.contains("block_structure")) weights["block_structure"] = c["block_structure"];
  Json group = {{"targets", {"Linear"}}, {"weights", weights}};
  if (kind == "int-quantized" || kind == "float-quantized")
    group["input_activations"] = {{"num_bits", 8}, {"type", weights["type"]}, {"dynamic", true}, {"strategy", "token"}};
  checkpoint.quantization_config = {{"quant_method", "compressed-tensors"},
                                    {"format", kind},
                                    {"version", before_0_17 ? "0.16.0" : "0.18.0"},
                                    {"config_groups", {{"group_0", group}}}};
  return checkpoint;
}

TEST(Hub, CompressedTensors) {
  int layouts = 0;
  const Json golden = golden_file("compressed_tensors.json");
  for (const Json& c : golden["cases"]) {
    if (c["kind"] == "pack_helper") continue;
    SCOPED_TRACE(c["case"].get<std::string>());
    ++layouts;
    const MemoryCheckpoint checkpoint = ct_checkpoint(c, false);
    EXPECT_TRUE(checkpoint.detected_by(kCompressedTensorsFamily));
    const MatrixPtr matrix = open_one(checkpoint, kCompressedTensorsFamily);
    ASSERT_NE(matrix, nullptr);
    expect_values(*matrix, c["dequantized"]);
    std::map<std::string, std::string> fields;
    for (const std::string& name : kCtTensors) fields["." + name] = name;
    expect_bytes(kCompressedTensorsFamily, *matrix, c, fields);
    if (!c.contains("weight_packed_before_0_17")) continue;
    const MemoryCheckpoint before(ct_checkpoint(c, true));
    const MatrixPtr old = open_one(before, kCompressedTensorsFamily);
    ASSERT_NE(old, nullptr);
    expect_values(*old, c["dequantized"]);
  }
  EXPECT_EQ(layouts, 17);
}

// ---- bitsandbytes ----

MemoryCheckpoint bnb_checkpoint(const Json& c) {
  MemoryCheckpoint checkpoint;
  checkpoint.add("m.weight", c["weight"]);
  if (c["kind"] == "int8") {
    checkpoint.add("m.SCB", c["SCB"]);
    checkpoint.add("m.weight_format", ElementType::kU8, {}, {std::byte{0}});
    checkpoint.quantization_config = {{"quant_method", "bitsandbytes"}, {"load_in_8bit", true}};
    return checkpoint;
  }
  const std::string type = c["quant_type"].get<std::string>();
  checkpoint.add("m.weight.absmax", c["absmax"]);
  const auto floats = [&](const std::string& name, std::span<const float> values) {
    const auto bytes = std::as_bytes(values);
    checkpoint.add(name, ElementType::kF32, {static_cast<std::int64_t>(values.size())}, {bytes.begin(), bytes.end()});
  };
  floats("m.weight.quant_map", table_values(type == "nf4" ? TableKind::kNf4 : TableKind::kFp4));
  const std::string state = c["quant_state_json"].get<std::string>();
  const auto bytes = std::as_bytes(std::span(state));
  checkpoint.add("m.weight.quant_state.bitsandbytes__" + type, ElementType::kU8,
                 {static_cast<std::int64_t>(state.size())}, {bytes.begin(), bytes.end()});
  if (c["nested"] == true) {
    checkpoint.add("m.weight.nested_absmax", c["nested_absmax"]);
    floats("m.weight.nested_quant_map", table_values(TableKind::kDynamic8));
  }
  checkpoint.quantization_config = {{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}};
  return checkpoint;
}

TEST(Hub, Bitsandbytes) {
  const Json golden = golden_file("bnb.json");
  int layers = 0;
  for (const Json& c : golden["cases"]) {
    SCOPED_TRACE(c["case"].get<std::string>());
    ++layers;
    const MemoryCheckpoint checkpoint = bnb_checkpoint(c);
    EXPECT_TRUE(checkpoint.detected_by(kBitsandbytesFamily));
    const MatrixPtr matrix = open_one(checkpoint, kBitsandbytesFamily);
    ASSERT_NE(matrix, nullptr);
    expect_values(*matrix, c["dequantized"]);
    for (const std::int64_t rows : {0, 2, 4}) {
      auto encoded = encode_all(kBitsandbytesFamily, *matrix, "m", rows);
      for (const StoredTensor& tensor : checkpoint.tensors().all()) {
        ASSERT_TRUE(encoded.contains(tensor.name)) << tensor.name;
        const auto& bytes = encoded[tensor.name].bytes;
        if (tensor.name.find("quant_state") != std::string::npos) {  // ours always says bfloat16 and may end in blanks
          auto theirs = parse_untrusted({reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size()}, "a");
          auto ours = parse_untrusted({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "b");
          ASSERT_TRUE(ours.ok() && theirs.ok());
          (*theirs)["dtype"] = "bfloat16";
          EXPECT_EQ(ours->dump(), theirs->dump());
          if (c["nested"] != true && c["quant_state_json"].get<std::string>().find("bfloat16") != std::string::npos) {
            EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), tensor.bytes.begin(), tensor.bytes.end()));
          }
          continue;
        }
        EXPECT_EQ(encoded[tensor.name].plan.shape, tensor.shape) << tensor.name;
        EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), tensor.bytes.begin(), tensor.bytes.end())) << tensor.name;
      }
      EXPECT_EQ(encoded.size(), checkpoint.tensors().all().size());
    }
  }
  EXPECT_EQ(layers, 14);
}

// ---- FP8 and the FP4 layouts ----

TEST(Hub, BlockFp8) {
  const Json golden = golden_file("fp8.json");
  int layers = 0;
  for (const Json& c : golden["cases"]) {
    if (c["kind"] != "block_dequantize") continue;
    SCOPED_TRACE(c["case"].get<std::string>());
    ++layers;
    MemoryCheckpoint checkpoint;
    checkpoint.add("m.weight", c["weight"]);
    checkpoint.add("m.weight_scale_inv", c["weight_scale_inv"]);
    checkpoint.quantization_config = {{"quant_method", "fp8"}, {"weight_block_size", c["block"]}};
    const MatrixPtr matrix = open_one(checkpoint, kFp8Family);
    ASSERT_NE(matrix, nullptr);
    expect_values(*matrix, c["dequantized"]);
    expect_bytes(kFp8Family, *matrix, c, {{".weight", "weight"}, {".weight_scale_inv", "weight_scale_inv"}});
  }
  EXPECT_EQ(layers, 4);
}

TEST(Hub, Fp4ExpertsAndGptOss) {
  const Json golden = golden_file("fp8.json");
  int layers = 0;
  for (const Json& c : golden["cases"]) {
    SCOPED_TRACE(c["case"].get<std::string>());
    MemoryCheckpoint checkpoint;
    const Family* family = nullptr;
    if (c["kind"] == "fp4_expert") {
      family = &kFp8Family;
      checkpoint.add("m.weight", c["weight"]);
      checkpoint.add("m.scale", c["scale"]);
      checkpoint.quantization_config = {{"quant_method", "fp8"}};
    } else if (c["kind"] == "gpt_oss_mxfp4") {
      family = &kMxfp4Family;
      checkpoint.add("m_blocks", c["blocks"]);
      checkpoint.add("m_scales", c["scales"]);
      checkpoint.quantization_config = {{"quant_method", "mxfp4"}};
    } else {
      continue;
    }
    ++layers;
    const MatrixPtr matrix = open_one(checkpoint, *family);
    ASSERT_NE(matrix, nullptr);
    expect_values(*matrix, c["dequantized"], family == &kMxfp4Family);  // the other decoder loses the sign of -0
  }
  EXPECT_EQ(layers, 2);
}

/// ModelOpt's NVFP4 is compressed-tensors' with the reciprocal of its global scale.
TEST(Hub, ModelOptNvfp4) {
  const Json golden = golden_file("compressed_tensors.json");
  for (const Json& c : golden["cases"]) {
    if (c["kind"] != "nvfp4-pack-quantized") continue;
    MemoryCheckpoint checkpoint;
    checkpoint.add("m.weight", c["weight_packed"]);
    checkpoint.add("m.weight_scale", c["weight_scale"]);
    float global = 0;
    std::memcpy(&global, GoldenTensor(c["weight_global_scale"]).bytes.data(), 4);
    const float multiplier = 1.0f / global;
    const auto bytes = std::as_bytes(std::span(&multiplier, 1));
    checkpoint.add("m.weight_scale_2", ElementType::kF32, {}, {bytes.begin(), bytes.end()});
    checkpoint.quantization_config = {{"producer", {{"name", 5}}}};
    EXPECT_FALSE(checkpoint.detected_by(kModelOptFamily));
    checkpoint.quantization_config = {{"quant_method", "modelopt"}, {"quant_algo", "NVFP4"}};
    const MatrixPtr matrix = open_one(checkpoint, kModelOptFamily);
    ASSERT_NE(matrix, nullptr);
    const std::vector<float> values = check_ranges(*matrix);
    const GoldenTensor expected(c["dequantized_f32_formula"]);
    for (std::size_t i = 0; i < values.size(); ++i) {
      float want = 0;
      std::memcpy(&want, expected.bytes.data() + 4 * i, 4);
      EXPECT_NEAR(values[i], want, std::fabs(want) * 2e-7f) << i;  // the reciprocal is rounded once more
    }
  }
}

}  // namespace
}  // namespace nibble
