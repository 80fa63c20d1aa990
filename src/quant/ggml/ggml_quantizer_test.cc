// Quantizing to ggml's types: the bytes of ggml's reference quantizers, whatever rows are asked for, and what is
// refused.
#include "quant/ggml/ggml_quantizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "base/json.h"
#include "base/mapped_file.h"
#include "format/ggml_blocks.h"
#include "tensor/ggml_codec.h"

namespace nibble {
namespace {

MatrixPtr floats(const std::vector<float>& values, std::int64_t cols) {
  QuantizedMatrix m;
  const auto rows = static_cast<std::int64_t>(values.size()) / cols;
  m.allocate(QuantScheme::of_float(ElementType::kF32), rows, cols, 0, rows);
  std::memcpy(m.codes.data(), values.data(), values.size() * sizeof(float));
  return make_source(std::move(m));
}

std::vector<float> normal(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw(0.0f, 0.03f);
  std::vector<float> out(count);
  for (float& v : out) v = draw(random);
  return out;
}

Importance importance_of(std::size_t cols) {
  std::mt19937 random(5);
  std::vector<float> out(cols);
  for (float& v : out) v = static_cast<float>(random() % 1000) / 100.0f;
  return std::make_shared<const std::vector<float>>(std::move(out));
}

std::vector<std::byte> bytes_of(const MatrixSource& matrix, int type, std::int64_t begin, std::int64_t count) {
  QuantizedMatrix rows;
  EXPECT_TRUE(matrix.decode(begin, count, rows).ok());
  const auto bytes = encode_ggml(type, rows);
  EXPECT_TRUE(bytes.ok());
  return *bytes;
}

class GgmlQuantizer : public ::testing::TestWithParam<GgmlBlockFormat> {};
std::vector<GgmlBlockFormat> quantized_types() {
  std::vector<GgmlBlockFormat> out;
  for (const GgmlBlockFormat& format : ggml_block_formats())
    if (format.block_values > 1 && check_ggml_quantizer(format.id).ok()) out.push_back(format);
  return out;
}
INSTANTIATE_TEST_SUITE_P(All, GgmlQuantizer, ::testing::ValuesIn(quantized_types()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(GgmlQuantizer, GivesTheBytesOfTheVectors) {
  const std::string name(GetParam().name);
  const auto text = read_text_file(std::string(NIBBLE_SOURCE_DIR) + "/tests/golden/ggml/ggml-" + name + ".json");
  ASSERT_TRUE(text.ok());
  const auto file = parse_untrusted(*text, name);
  ASSERT_TRUE(file.ok());
  int cases = 0;
  for (const Json& one : (*file)["quantize"]) {
    if (one.contains("importance")) continue;  // refined here; the kernel's test has them
    std::vector<float> input;
    for (const Json& number : one["input"]) input.push_back(static_cast<float>(number.get<double>()));
    const auto cols = static_cast<std::int64_t>(input.size());
    const auto matrix = quantize_to_ggml(floats(input, cols), GetParam().id, nullptr);
    ASSERT_TRUE(matrix.ok());
    std::string hex;
    for (const std::byte b : bytes_of(**matrix, GetParam().id, 0, 1))
      hex += fmt::format("{:02x}", static_cast<unsigned>(b));
    EXPECT_EQ(hex, one["bytes"].get<std::string>()) << one["case"];
    ++cases;
  }
  EXPECT_GE(cases, 3);
}

TEST_P(GgmlQuantizer, RowsStandAlone) {
  constexpr std::int64_t kRows = 7;
  constexpr std::int64_t kCols = 768;
  const MatrixPtr source = floats(normal(kRows * kCols, 3), kCols);
  for (const Importance& importance : {Importance(), importance_of(kCols)}) {
    const auto matrix = quantize_to_ggml(source, GetParam().id, importance);
    ASSERT_TRUE(matrix.ok());
    const std::vector<std::byte> whole = bytes_of(**matrix, GetParam().id, 0, kRows);
    std::vector<std::byte> by_row;
    for (std::int64_t r = 0; r < kRows; ++r) {
      const std::vector<std::byte> row = bytes_of(**matrix, GetParam().id, r, 1);
      by_row.insert(by_row.end(), row.begin(), row.end());
    }
    EXPECT_EQ(by_row, whole);
  }
}

TEST_P(GgmlQuantizer, TakesNumbersThatAreNotFinite) {
  std::vector<float> values = normal(768, 4);
  values[5] = std::numeric_limits<float>::quiet_NaN();
  values[300] = -std::numeric_limits<float>::infinity();
  std::vector<float> expected = values;
  expected[5] = 0.0f;
  expected[300] = 0.0f;
  float largest = 0.0f;
  for (const float v : expected) largest = std::max(largest, std::fabs(v));
  expected[300] = -largest;
  const auto found = quantize_to_ggml(floats(values, 768), GetParam().id, nullptr);
  const auto wanted = quantize_to_ggml(floats(expected, 768), GetParam().id, nullptr);
  ASSERT_TRUE(found.ok() && wanted.ok());
  EXPECT_EQ(bytes_of(**found, GetParam().id, 0, 1), bytes_of(**wanted, GetParam().id, 0, 1));
}

TEST(GgmlQuantizers, WeighColumnsByTheirImportance) {
  constexpr std::int64_t kCols = 512;
  const std::vector<float> x = normal(32 * kCols, 6);
  const Importance importance = importance_of(kCols);
  const auto error_of = [&](int type, const Importance& used) {
    QuantizedMatrix rows;
    EXPECT_TRUE((*quantize_to_ggml(floats(x, kCols), type, used))->decode(0, 32, rows).ok());
    std::vector<float> q(x.size());
    dequantize(rows, q.data());
    double sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double difference = static_cast<double>(x[i]) - static_cast<double>(q[i]);
      sum += static_cast<double>((*importance)[i % kCols]) * difference * difference;
    }
    return sum;
  };
  for (const int type : {GgmlQ4_0::kId, GgmlQ5_1::kId, GgmlQ2_K::kId, GgmlQ4_K::kId, GgmlQ6_K::kId, GgmlIq4Xs::kId})
    EXPECT_LT(error_of(type, importance), error_of(type, nullptr)) << find_ggml_block_format(type)->name;
  EXPECT_EQ(error_of(GgmlQ8_0::kId, importance), error_of(GgmlQ8_0::kId, nullptr)) << "knows no importance";
}

TEST(GgmlQuantizers, RefuseWhatTheyCannotDo) {
  const MatrixPtr source = floats(normal(2 * 320, 1), 320);
  const auto message = [&](int type, const Importance& importance) {
    const auto matrix = quantize_to_ggml(source, type, importance);
    return matrix.ok() ? std::string() : matrix.error().message;
  };
  EXPECT_NE(message(GgmlQ4_K::kId, nullptr).find("320 values"), std::string::npos);
  EXPECT_NE(message(GgmlIq2Xs::kId, nullptr).find("read but not written"), std::string::npos);
  EXPECT_NE(message(GgmlNvfp4::kId, nullptr).find("read but not written"), std::string::npos);
  EXPECT_NE(message(4, nullptr).find("ggml type 4"), std::string::npos);
  EXPECT_NE(message(GgmlQ4_0::kId, importance_of(256)).find("256 columns"), std::string::npos);
  std::vector<float> negative(320, 1.0f);
  negative[7] = -1.0f;
  EXPECT_NE(message(GgmlQ4_0::kId, std::make_shared<const std::vector<float>>(negative)).find("column 7"),
            std::string::npos);
  EXPECT_EQ(message(GgmlQ4_0::kId, importance_of(320)), "");
}

}  // namespace
}  // namespace nibble
