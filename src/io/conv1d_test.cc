// GPT-2's Conv1D keeps float weights as [inputs, outputs]. Libraries transpose them before they quantize, so that
// quantized tensors lie like those of any layer and are not transposed again.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "io/checkpoint.h"
#include "io/family_test_support.h"
#include "io/safetensors.h"

namespace nibble {
namespace {

using testing::decode_rows;
using testing::golden_file;
using testing::GoldenTensor;
using testing::values_of;

/// A folder with these tensors, opened as a checkpoint of GPT-2.
Checkpoint::Ptr open_gpt2(const std::string& name, const Json& tensors, const Json& quantization_config) {
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / ("conv1d_" + name);
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  std::vector<SafetensorsPlan> plan;
  std::vector<GoldenTensor> golden;
  for (const auto& [tensor, value] : tensors.items()) {
    golden.emplace_back(value);
    plan.push_back({tensor, golden.back().shape, golden.back().element});
  }
  auto writer = SafetensorsWriter::create(folder, plan);
  EXPECT_TRUE(writer.ok());
  for (std::size_t i = 0; writer.ok() && i < golden.size(); ++i)
    EXPECT_TRUE((*writer)->write(i, 0, golden[i].bytes).ok());
  EXPECT_TRUE(writer.ok() && (*writer)->finish().ok());
  Json config = {{"model_type", "gpt2"}, {"architectures", {"GPT2LMHeadModel"}}};
  if (!quantization_config.is_null()) config["quantization_config"] = quantization_config;
  std::ofstream(folder / "config.json") << config.dump();
  auto checkpoint = Checkpoint::open(folder);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  return checkpoint.ok() ? *checkpoint : nullptr;
}

TEST(Conv1d, QuantizedTensorsAreNotTransposedAgain) {
  const Json golden = golden_file("conv1d.json");
  const std::string module = golden["module"].get<std::string>();
  const GoldenTensor floats(golden["float"]);
  const std::int64_t cols = floats.shape[0];
  const std::int64_t rows = floats.shape[1];
  ASSERT_NE(rows, cols);
  ASSERT_EQ(golden["cases"].size(), 2u);
  for (const Json& c : golden["cases"]) {
    SCOPED_TRACE(c["case"].get<std::string>());
    const Checkpoint::Ptr checkpoint = open_gpt2(c["case"].get<std::string>(), c["tensors"], c["quantization_config"]);
    ASSERT_NE(checkpoint, nullptr);
    EXPECT_EQ(checkpoint->family_name(), "bitsandbytes");
    const auto matrix = checkpoint->matrix(module);
    ASSERT_TRUE(matrix.ok()) << matrix.error().message;
    ASSERT_EQ((*matrix)->rows(), rows);
    ASSERT_EQ((*matrix)->cols(), cols);
    testing::expect_values(**matrix, c["dequantized"]);
    // The float weight the other way around, but for half a step of the coarser method.
    const std::vector<float> values = values_of(decode_rows(**matrix, 0, rows));
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t k = 0; k < cols; ++k) {
        float original = 0;
        decode_elements(floats.element, floats.bytes.data() + (k * rows + r) * 4, 1, &original);
        EXPECT_NEAR(values[static_cast<std::size_t>(r * cols + k)], original, 0.01f) << r << ", " << k;
      }
    }
  }
}

/// Only an architecture knows that a float weight lies the other way around: containers give what is stored.
TEST(Conv1d, FloatTensorsStayAsStored) {
  const Json golden = golden_file("conv1d.json");
  const std::string module = golden["module"].get<std::string>();
  const Checkpoint::Ptr checkpoint = open_gpt2("float", {{module + ".weight", golden["float"]}}, nullptr);
  ASSERT_NE(checkpoint, nullptr);
  const auto matrix = checkpoint->matrix(module);
  ASSERT_TRUE(matrix.ok()) << matrix.error().message;
  EXPECT_EQ((*matrix)->rows(), 64);
  EXPECT_EQ((*matrix)->cols(), 16);
}

}  // namespace
}  // namespace nibble
