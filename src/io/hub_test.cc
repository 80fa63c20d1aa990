// The hub holds every layout: tensors written by the reference libraries decode to their values, bit for bit after one
// rounding to the type that the library returns, and encode back to the same bytes where Nibble writes the family.
#include <gtest/gtest.h>

#include <cmath>

#include "io/auto_round.h"
#include "io/awq.h"
#include "io/bitsandbytes.h"
#include "io/compressed_tensors.h"
#include "io/family_test_support.h"
#include "io/fp8.h"
#include "io/gptq.h"
#include "io/hqq.h"
#include "io/modelopt.h"
#include "io/mxfp4.h"
#include "io/quanto.h"

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

// ---- GPTQ ----

MemoryCheckpoint gptq_checkpoint(const Json& c, const std::string& zeros, const std::string& format) {
  MemoryCheckpoint checkpoint;
  checkpoint.add("m.qweight", c["qweight"]);
  checkpoint.add("m.qzeros", c[zeros]);
  checkpoint.add("m.scales", c["scales"]);
  checkpoint.add("m.g_idx", c["g_idx"]);
  checkpoint.quantization_config = {{"quant_method", "gptq"},    {"bits", c["bits"]},
                                    {"sym", c["sym"]},           {"group_size", c["group_size"]},
                                    {"desc_act", c["desc_act"]}, {"checkpoint_format", format}};
  return checkpoint;
}

TEST(Hub, Gptq) {
  int layers = 0;
  const Json golden = golden_file("gptq.json");
  for (const Json& c : golden["cases"]) {
    SCOPED_TRACE(c["case"].get<std::string>());
    if (c["kind"] == "layer_planar") {
      const MemoryCheckpoint planar = gptq_checkpoint(c, "qzeros_planar", "gptq_p");
      const MatrixPtr matrix = open_one(planar, kGptqFamily);
      ASSERT_NE(matrix, nullptr);
      expect_values(*matrix, c["dequantized_nk"]);
      ++layers;
    }
    if (c["kind"] != "layer") continue;
    ++layers;
    for (const bool v2 : {false, true}) {
      const MemoryCheckpoint checkpoint = gptq_checkpoint(c, v2 ? "qzeros_v2" : "qzeros_v1", v2 ? "gptq_v2" : "gptq");
      EXPECT_TRUE(checkpoint.detected_by(kGptqFamily));
      const MatrixPtr matrix = open_one(checkpoint, kGptqFamily);
      ASSERT_NE(matrix, nullptr);
      expect_values(*matrix, c["dequantized_nk"]);
      // Symmetric codes are written as v1, others as v2.
      const std::string zeros = c["sym"] == true ? "qzeros_v1" : "qzeros_v2";
      expect_bytes(kGptqFamily, *matrix, c,
                   {{".qweight", "qweight"}, {".qzeros", zeros}, {".scales", "scales"}, {".g_idx", "g_idx"}});
    }
    // Without "sym" the constant zero points of symmetric files are recognised, in both versions.
    if (c["sym"] == true) {
      for (const char* zeros : {"qzeros_v1", "qzeros_v2"}) {
        MemoryCheckpoint checkpoint = gptq_checkpoint(c, zeros, "gptq");
        checkpoint.quantization_config.erase("sym");
        const MatrixPtr matrix = open_one(checkpoint, kGptqFamily);
        ASSERT_NE(matrix, nullptr);
        EXPECT_EQ(matrix->scheme().zero_kind, ZeroKind::kNone);
        expect_values(*matrix, c["dequantized_nk"]);
      }
    }
  }
  EXPECT_EQ(layers, 20);
}

/// Zero points of v1 files with zeros among them: right for every writer whose words can be told apart.
TEST(Hub, GptqZeroPointZero) {
  const Json golden = golden_file("gptq.json");
  int cases = 0;
  for (const Json& c : golden["cases"]) {
    if (c["kind"] != "v1_zero_overflow") continue;
    SCOPED_TRACE(c["case"].get<std::string>());
    ++cases;
    const int bits = c["bits"].get<int>();
    for (const bool word_by_word : {false, true}) {
      MemoryCheckpoint checkpoint;
      checkpoint.add("m.qweight", ElementType::kI32, {bits, 32},
                     std::vector<std::byte>(static_cast<std::size_t>(bits) * 128));
      checkpoint.add("m.qzeros", c["qzeros_v1_by_writer"][word_by_word ? "gptqmodel_save" : "gptqmodel_per_field"]);
      checkpoint.add("m.scales", ElementType::kF16, {1, 32}, std::vector<std::byte>(64));
      checkpoint.quantization_config = {{"quant_method", "gptq"}, {"bits", bits}, {"sym", false}, {"group_size", -1}};
      if (word_by_word) checkpoint.quantization_config["meta"] = {{"quantizer", {"gptqmodel:7.3.4"}}};
      const QuantizedMatrix matrix = testing::decode_rows(*open_one(checkpoint, kGptqFamily), 0, 32);
      for (std::size_t n = 0; n < 32; ++n) {
        std::int16_t zero;
        std::memcpy(&zero, matrix.zero.entries.data() + 2 * n, 2);
        EXPECT_EQ(zero, c["true_zero_points"][n].get<int>()) << n;
      }
    }
  }
  EXPECT_EQ(cases, 4);
}

// ---- AWQ ----

MemoryCheckpoint awq_checkpoint(const Json& c) {
  MemoryCheckpoint checkpoint;
  for (const char* name : {"qweight", "qzeros", "scales"}) checkpoint.add(std::string("m.") + name, c[name]);
  checkpoint.quantization_config = {
      {"quant_method", "awq"}, {"bits", 4}, {"group_size", c["group_size"]}, {"version", c["kind"]}};
  return checkpoint;
}

TEST(Hub, AwqGemm) {
  const Json golden = golden_file("awq.json");
  int layers = 0;
  for (const Json& c : golden["cases"]) {
    if (c["kind"] != "gemm") continue;
    SCOPED_TRACE(c["case"].get<std::string>());
    ++layers;
    const MemoryCheckpoint checkpoint = awq_checkpoint(c);
    EXPECT_TRUE(checkpoint.detected_by(kAwqFamily));
    const MatrixPtr matrix = open_one(checkpoint, kAwqFamily);
    ASSERT_NE(matrix, nullptr);
    expect_values(*matrix, c["dequantized_nk"]);
    expect_bytes(kAwqFamily, *matrix, c, {{".qweight", "qweight"}, {".qzeros", "qzeros"}, {".scales", "scales"}});
  }
  EXPECT_EQ(layers, 4);
}

/// The vectors of these versions give codes and zero points, not values.
TEST(Hub, AwqGemvAndGemvFast) {
  const Json golden = golden_file("awq.json");
  int layers = 0;
  for (const Json& c : golden["cases"]) {
    if (c["kind"] == "gemm") continue;
    SCOPED_TRACE(c["case"].get<std::string>());
    ++layers;
    const bool fast = c["kind"] == "gemv_fast";
    const MemoryCheckpoint checkpoint = awq_checkpoint(c);
    const MatrixPtr matrix = open_one(checkpoint, kAwqFamily);
    ASSERT_NE(matrix, nullptr);
    const std::vector<float> values = check_ranges(*matrix);
    const GoldenTensor codes(c["codes_nk"]);
    const GoldenTensor zeros(c["zero_points_ng"]);
    const GoldenTensor scales(c["scales"]);
    const GoldenTensor offsets(c["qzeros"]);
    const std::int64_t rows = codes.shape[0];
    const std::int64_t cols = codes.shape[1];
    const std::int64_t size = c["group_size"].get<std::int64_t>();
    ASSERT_EQ(matrix->cols(), cols);
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t k = 0; k < cols; ++k) {
        const std::int64_t g = k / size;
        const auto half_at = [](const GoldenTensor& tensor, std::int64_t index) {
          float value = 0;
          decode_elements(ElementType::kF16, tensor.bytes.data() + index * 2, 1, &value);
          return value;
        };
        const std::int64_t entry = fast ? g * rows + r : r * scales.shape[1] + g;
        const auto code = std::to_integer<int>(codes.bytes[static_cast<std::size_t>(r * cols + k)]);
        const auto zero = std::to_integer<int>(zeros.bytes[static_cast<std::size_t>(r * (cols / size) + g)]);
        const float scale = half_at(scales, entry);
        const float product = scale * static_cast<float>(fast ? code : code - zero);
        const float want = fast ? product + half_at(offsets, entry) : product;
        ASSERT_EQ(values[static_cast<std::size_t>(r * cols + k)], want) << r << ", " << k;
      }
    }
  }
  EXPECT_EQ(layers, 5);
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

// ---- HQQ and Quanto: no vectors; packed here by the published rules ----

/// Codes cut into slabs of rows that share bytes (formats-hf.md 8.4, 8.5).
std::vector<std::byte> pack_slabs(const std::vector<std::uint8_t>& codes, int bits, bool high_first) {
  const std::size_t slabs = 8 / static_cast<std::size_t>(bits);
  const std::size_t slab = codes.size() / slabs;
  std::vector<std::byte> bytes(slab);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const std::size_t s = i / slab;
    bytes[i % slab] |= static_cast<std::byte>(codes[i] << (static_cast<int>(high_first ? slabs - 1 - s : s) * bits));
  }
  return bytes;
}

std::vector<std::byte> bytes_of(ElementType type, const std::vector<float>& values) {
  std::vector<std::byte> bytes(values.size() * static_cast<std::size_t>(element_info(type).bits) / 8);
  encode_elements(type, values.data(), values.size(), bytes.data());
  return bytes;
}

std::vector<std::byte> i64_bytes(std::vector<std::int64_t> values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> i32_bytes(std::int32_t value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  return {bytes.begin(), bytes.end()};
}

TEST(Hub, Hqq) {
  constexpr std::size_t kRows = 24;
  constexpr std::size_t kCols = 20;
  for (const int bits : {1, 2, 3, 4, 5, 8}) {
    for (const int axis : {0, 1}) {
      SCOPED_TRACE(fmt::format("{} bits, axis {}", bits, axis));
      const std::size_t group = axis == 0 ? 8 : 10;
      const std::size_t groups = kRows * kCols / group;
      std::mt19937 random(static_cast<unsigned>(bits));
      std::vector<std::uint8_t> codes(kRows * kCols);
      for (auto& code : codes) code = static_cast<std::uint8_t>(random() & ((1u << bits) - 1u));
      std::vector<float> scale(groups);
      std::vector<float> zero(groups);
      for (std::size_t g = 0; g < groups; ++g)
        scale[g] = static_cast<float>(g + 1) / 64, zero[g] = static_cast<float>(g) / 8;
      MemoryCheckpoint checkpoint;
      std::vector<std::byte> packed;
      if (bits == 3) {  // ten slabs in 32 bits, rows padded to a multiple of ten
        const std::size_t line = axis == 1 ? group : groups;
        const std::size_t slab = (codes.size() / line + 9) / 10 * line;
        packed.resize(slab * 4);
        for (std::size_t i = 0; i < codes.size(); ++i) {
          std::uint32_t word;
          std::memcpy(&word, packed.data() + i % slab * 4, 4);
          word |= static_cast<std::uint32_t>(codes[i]) << (27 - 3 * (i / slab));
          std::memcpy(packed.data() + i % slab * 4, &word, 4);
        }
        checkpoint.add("m.W_q", ElementType::kI32, {static_cast<std::int64_t>(slab)}, packed);
      } else {
        packed = pack_slabs(codes, bits == 5 ? 8 : bits, true);
        checkpoint.add("m.W_q", ElementType::kU8, {static_cast<std::int64_t>(packed.size())}, packed);
      }
      const auto count = static_cast<std::int64_t>(groups);
      checkpoint.add("m.scale", ElementType::kF16, {count, 1}, bytes_of(ElementType::kF16, scale));
      checkpoint.add("m.zero", ElementType::kF32, {count, 1}, bytes_of(ElementType::kF32, zero));
      checkpoint.add("m.shape", ElementType::kI64, {2}, i64_bytes({kRows, kCols}));
      checkpoint.add("m.nbits", ElementType::kI32, {}, i32_bytes(bits));
      checkpoint.add("m.axis", ElementType::kI32, {}, i32_bytes(axis));
      checkpoint.add("m.group_size", ElementType::kI32, {}, i32_bytes(static_cast<std::int32_t>(group)));
      checkpoint.quantization_config = {{"quant_method", "hqq"}};
      const MatrixPtr matrix = open_one(checkpoint, kHqqFamily);
      ASSERT_NE(matrix, nullptr);
      const std::vector<float> values = check_ranges(*matrix);
      for (std::size_t i = 0; i < values.size(); ++i) {
        const std::size_t g = axis == 1 ? i / group : i % groups;
        ASSERT_EQ(values[i], scale[g] * (static_cast<float>(codes[i]) - zero[g])) << i;
      }
    }
  }
}

TEST(Hub, Quanto) {
  constexpr std::size_t kRows = 16;
  constexpr std::size_t kCols = 64;
  constexpr std::size_t kGroup = 32;
  for (const int bits : {2, 4}) {
    for (const bool integer_shift : {true, false}) {
      std::mt19937 random(static_cast<unsigned>(bits));
      std::vector<std::uint8_t> codes(kRows * kCols);
      for (auto& code : codes) code = static_cast<std::uint8_t>(random() & ((1u << bits) - 1u));
      constexpr std::size_t kGroups = kRows * kCols / kGroup;
      std::vector<float> scale(kGroups);
      std::vector<float> shift(kGroups);
      for (std::size_t g = 0; g < kGroups; ++g)
        scale[g] = static_cast<float>(g + 1) / 64, shift[g] = static_cast<float>(g % 4);
      MemoryCheckpoint checkpoint;
      auto packed = pack_slabs(codes, bits, false);
      const auto lines = static_cast<std::int64_t>(packed.size() / kGroup);
      const ElementType shift_type = integer_shift ? ElementType::kI8 : ElementType::kF16;
      checkpoint.add("m.weight._data._data", ElementType::kU8, {lines, kGroup}, std::move(packed));
      checkpoint.add("m.weight._scale", ElementType::kF16, {kGroups, 1}, bytes_of(ElementType::kF16, scale));
      checkpoint.add("m.weight._shift", shift_type, {kGroups, 1}, bytes_of(shift_type, shift));
      checkpoint.config = {{"hidden_size", kCols}};
      checkpoint.quantization_config = {{"quant_method", "quanto"}, {"weights", bits == 2 ? "int2" : "int4"}};
      const MatrixPtr matrix = open_one(checkpoint, kQuantoFamily);
      ASSERT_NE(matrix, nullptr);
      const std::vector<float> values = check_ranges(*matrix);
      for (std::size_t i = 0; i < values.size(); ++i) {
        const std::size_t g = i / kGroup;
        const auto code = static_cast<float>(codes[i]);
        ASSERT_EQ(values[i], integer_shift ? scale[g] * (code - shift[g]) : scale[g] * code - shift[g]) << i;
      }
    }
  }
}

// ---- AutoRound ----

TEST(Hub, AutoRound) {
  const Json gptq = golden_file("gptq.json");
  int layers = 0;
  for (const Json& c : gptq["cases"]) {
    if (c["kind"] != "layer" || c["desc_act"] == true) continue;
    SCOPED_TRACE(c["case"].get<std::string>());
    for (const bool v2 : {false, true}) {
      MemoryCheckpoint checkpoint = gptq_checkpoint(c, v2 ? "qzeros_v2" : "qzeros_v1", "");
      checkpoint.quantization_config = {
          {"quant_method", "auto-round"},
          {"bits", 16},
          {"packing_format", v2 ? "auto_round" : "auto_round:auto_gptq"},
          {"extra_config", {{"^m$", {{"bits", c["bits"]}, {"sym", c["sym"]}, {"group_size", c["group_size"]}}}}}};
      ++layers;
      const MatrixPtr matrix = open_one(checkpoint, kAutoRoundFamily);
      ASSERT_NE(matrix, nullptr);
      expect_values(*matrix, c["dequantized_nk"]);
    }
  }
  const Json awq = golden_file("awq.json");
  for (const Json& c : awq["cases"]) {
    if (c["kind"] != "gemm") continue;
    MemoryCheckpoint checkpoint = awq_checkpoint(c);
    checkpoint.quantization_config = {{"quant_method", "auto-round"},
                                      {"bits", 4},
                                      {"sym", false},
                                      {"group_size", c["group_size"]},
                                      {"packing_format", "auto_round:auto_awq"}};
    ++layers;
    const MatrixPtr matrix = open_one(checkpoint, kAutoRoundFamily);
    ASSERT_NE(matrix, nullptr);
    expect_values(*matrix, c["dequantized_nk"]);
  }
  EXPECT_EQ(layers, 20);
}

}  // namespace
}  // namespace nibble
