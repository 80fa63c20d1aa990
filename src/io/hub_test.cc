// The hub holds every layout: tensors written by the reference libraries decode to their values, bit for bit after one
// rounding to the type that the library returns, and encode back to the same bytes where Nibble writes the family.
#include <gtest/gtest.h>

#include "io/compressed_tensors.h"
#include "io/family_test_support.h"

namespace nibble {
namespace {

using testing::check_ranges;
using testing::encode_all;
using testing::golden_file;
using testing::GoldenTensor;
using testing::MemoryCheckpoint;
using testing::open_one;

/// Values equal the golden tensor's after rounding to its type. `zero_sign` false: -0 equals +0.
void expect_values(const MatrixSource& source, const Json& golden, bool zero_sign = true) {
  const GoldenTensor expected(golden);
  const std::vector<float> values = check_ranges(source);
  const std::size_t size = static_cast<std::size_t>(element_info(expected.element).bits) / 8;
  ASSERT_EQ(values.size() * size, expected.bytes.size());
  std::vector<std::byte> rounded(expected.bytes.size());
  encode_elements(expected.element, values.data(), values.size(), rounded.data());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < values.size() && wrong < 5; ++i) {
    if (std::memcmp(rounded.data() + i * size, expected.bytes.data() + i * size, size) == 0) continue;
    float want = 0;
    decode_elements(expected.element, expected.bytes.data() + i * size, 1, &want);
    if (!zero_sign && want == 0.0f && values[i] == 0.0f) continue;
    ++wrong;
    ADD_FAILURE() << "weight " << i << " is " << values[i] << ", expected " << want;
  }
}

/// Encoding the source gives the golden bytes of each named tensor, whole and in small ranges.
void expect_bytes(const Family& family, const MatrixSource& source, const Json& test_case,
                  const std::map<std::string, std::string>& suffix_to_field) {
  for (const std::int64_t rows : {0, 1}) {
    const auto encoded = encode_all(family, source, "m", rows);
    for (const auto& [name, tensor] : encoded) {
      const auto field = suffix_to_field.find(name.substr(1));
      ASSERT_NE(field, suffix_to_field.end()) << name << " is not in the golden file";
      const GoldenTensor expected(test_case[field->second]);
      EXPECT_EQ(tensor.plan.shape, expected.shape) << name;
      EXPECT_EQ(tensor.plan.element, expected.element) << name;
      EXPECT_TRUE(tensor.bytes == expected.bytes) << name;
    }
  }
}

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

}  // namespace
}  // namespace nibble
