// Layers as the libraries that define each family wrote them (tests/golden/interop, made by
// scripts/interop/make_golden.py): Nibble reads the values that the library reads, every bit of the type that it
// returns.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/mapped_file.h"
#include "hub/digest.h"
#include "io/checkpoint.h"
#include "tensor/quantized_matrix.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(NIBBLE_SOURCE_DIR) / "tests/golden/interop";

class InteropGolden : public testing::TestWithParam<std::string> {};

TEST_P(InteropGolden, ReadsWhatTheLibraryReads) {
  const fs::path folder = kFolder / GetParam();
  const Json expected = parse_untrusted(read_text_file(folder / "expected.json").value(), "expected.json").value();
  const auto checkpoint = Checkpoint::open(folder);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  const auto matrix = (*checkpoint)->matrix(expected["module"].get<std::string>());
  ASSERT_TRUE(matrix.ok()) << matrix.error().message;
  EXPECT_FALSE((*matrix)->scheme().is_float());
  ASSERT_EQ((*matrix)->rows(), expected["shape"][0].get<std::int64_t>());
  ASSERT_EQ((*matrix)->cols(), expected["shape"][1].get<std::int64_t>());
  QuantizedMatrix decoded;
  ASSERT_TRUE((*matrix)->decode(0, (*matrix)->rows(), decoded).ok());
  std::vector<float> values(static_cast<std::size_t>((*matrix)->rows() * (*matrix)->cols()));
  dequantize(decoded, values.data());
  for (float& value : values) value += 0.0f;  // -0 becomes 0, as in what the script noted

  const std::string name = expected["dtype"].get<std::string>();
  const ElementType type = name == "float16"    ? ElementType::kF16
                           : name == "bfloat16" ? ElementType::kBf16
                                                : ElementType::kF32;
  const std::vector<float> first = expected["first"].get<std::vector<float>>();
  for (std::size_t i = 0; i < first.size(); ++i) EXPECT_EQ(round_to_element(type, values[i]), first[i]) << i;
  std::vector<std::byte> bytes(values.size() * static_cast<std::size_t>(element_info(type).bits) / 8);
  encode_elements(type, values.data(), values.size(), bytes.data());
  auto digest = EtagDigest::create(expected["sha256"].get<std::string>(), bytes.size());
  ASSERT_TRUE(digest.has_value());
  digest->update(bytes);
  EXPECT_TRUE(digest->matches()) << expected["library"] << " reads other values";
}

std::vector<std::string> cases() {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(kFolder))
    if (entry.is_directory()) names.insert(entry.path().filename().string());
  return {names.begin(), names.end()};
}

TEST(InteropGoldens, AreOfEveryFamilyThatALibraryWrites) {
  std::set<std::string> families;
  for (const std::string& name : cases()) families.emplace(Checkpoint::open(kFolder / name).value()->family_name());
  EXPECT_EQ(families,
            (std::set<std::string>{"auto-round", "awq", "bitsandbytes", "compressed-tensors", "fp8", "gptq"}));
}

INSTANTIATE_TEST_SUITE_P(Libraries, InteropGolden, testing::ValuesIn(cases()), [](const auto& test) {
  std::string name = test.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace nibble
