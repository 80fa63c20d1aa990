// The hub holds every layout (see hub_test.cc): GPTQ, AWQ, and AutoRound, which uses their tensors.
#include <gtest/gtest.h>

#include "io/auto_round.h"
#include "io/awq.h"
#include "io/family_test_support.h"
#include "io/gptq.h"

namespace nibble {
namespace {

using testing::check_ranges;
using testing::expect_bytes;
using testing::expect_values;
using testing::golden_file;
using testing::GoldenTensor;
using testing::MemoryCheckpoint;
using testing::open_one;

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
