// Tests of the codec between ggml's blocks and the hub: every type, on random payloads with NaN and infinite scales.
#include "tensor/ggml_codec.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "format/ggml_blocks.h"
#include "tensor/ggml_schemes.h"

namespace nibble {
namespace {

using Bytes = std::vector<std::byte>;

std::uint32_t bits_of(float value) { return std::isnan(value) ? 0x7FC00000u : std::bit_cast<std::uint32_t>(value); }

/// Random blocks whose scales ggml accepts.
Bytes random_blocks(const GgmlBlockFormat& format, std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  Bytes bytes(count * static_cast<std::size_t>(format.block_bytes));
  for (std::byte& b : bytes) b = static_cast<std::byte>(random() & 255u);
  const std::size_t scales = format.id == GgmlMxfp4::kId ? 1 : format.id == GgmlNvfp4::kId ? 4 : 0;
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t s = 0; s < scales; ++s) {
      std::byte& scale = bytes[i * static_cast<std::size_t>(format.block_bytes) + s];
      if (scale == std::byte{0xFF}) scale = std::byte{0x7F};
    }
  }
  return bytes;
}

class GgmlCodec : public testing::TestWithParam<GgmlScheme> {
 protected:
  const GgmlBlockFormat& format_ = *find_ggml_block_format(GetParam().type);
  std::int64_t cols_ = 2 * format_.block_values;
};

TEST_P(GgmlCodec, DecodesToTheBitsOfTheFormat) {
  constexpr std::int64_t kRows = 150;
  const Bytes bytes = random_blocks(format_, 2 * kRows, 3);
  std::vector<float> expected(static_cast<std::size_t>(kRows * cols_));
  format_.dequantize(bytes.data(), 2 * kRows, expected.data());
  QuantizedMatrix matrix;
  ASSERT_TRUE(decode_ggml(GetParam().type, bytes, kRows, cols_, 0, kRows, matrix).ok());
  const Status valid = matrix.validate();
  ASSERT_TRUE(valid.ok()) << valid.error().message;
  std::vector<float> found(expected.size());
  dequantize(matrix, found.data());
  int special = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(bits_of(found[i]), bits_of(expected[i])) << i << ": " << found[i] << ", expected " << expected[i];
    special += std::isfinite(expected[i]) ? 0 : 1;
  }
  if (format_.parts.scales == 2) {
    EXPECT_GT(special, 0) << "no NaN or infinity among the scales: not a full test";
  }
}

TEST_P(GgmlCodec, RangesOfRowsAreThoseOfTheWhole) {
  constexpr std::int64_t kRows = 7;
  const Bytes bytes = random_blocks(format_, 2 * kRows, 4);
  QuantizedMatrix whole;
  ASSERT_TRUE(decode_ggml(GetParam().type, bytes, kRows, cols_, 0, kRows, whole).ok());
  const MatrixPtr source = make_source(whole);
  const auto row_bytes = static_cast<std::size_t>(*ggml_row_bytes(GetParam().type, cols_));
  QuantizedMatrix range;
  const auto part = std::span(bytes).subspan(2 * row_bytes, 3 * row_bytes);
  ASSERT_TRUE(decode_ggml(GetParam().type, part, kRows, cols_, 2, 3, range).ok());
  QuantizedMatrix expected;
  ASSERT_TRUE(source->decode(2, 3, expected).ok());
  EXPECT_EQ(range.codes, expected.codes);
  EXPECT_EQ(range.scale, expected.scale);
  EXPECT_EQ(range.offset, expected.offset);
}

TEST_P(GgmlCodec, EncodingGivesTheBytesBack) {
  constexpr std::int64_t kRows = 150;
  Bytes bytes = random_blocks(format_, 2 * kRows, 5);
  QuantizedMatrix matrix;
  ASSERT_TRUE(decode_ggml(GetParam().type, bytes, kRows, cols_, 0, kRows, matrix).ok());
  auto encoded = encode_ggml(GetParam().type, matrix);
  ASSERT_EQ(encoded.ok(), format_.pack != nullptr);
  if (!encoded.ok()) return;
  if (GetParam().type == GgmlTq1_0::kId || GetParam().type == GgmlMxfp4::kId) {
    bytes = *encoded;  // has only bytes that ggml writes
    QuantizedMatrix again;
    ASSERT_TRUE(decode_ggml(GetParam().type, bytes, kRows, cols_, 0, kRows, again).ok());
    EXPECT_EQ(again.codes, matrix.codes);
    encoded = encode_ggml(GetParam().type, again);
  }
  EXPECT_EQ(*encoded, bytes);
}

TEST_P(GgmlCodec, NoRowsAreARange) {  // run under the sanitizers: null pointers everywhere
  QuantizedMatrix matrix;
  ASSERT_TRUE(decode_ggml(GetParam().type, {}, 4, cols_, 4, 0, matrix).ok());
  EXPECT_TRUE(matrix.validate().ok());
  dequantize(matrix, nullptr);
  if (format_.pack != nullptr) {
    const auto encoded = encode_ggml(GetParam().type, matrix);
    ASSERT_TRUE(encoded.ok());
    EXPECT_TRUE(encoded->empty());
  }
}

TEST_P(GgmlCodec, RefusesSizesThatDoNotMatch) {
  const Bytes bytes = random_blocks(format_, 4, 6);
  const int type = GetParam().type;
  QuantizedMatrix out;
  EXPECT_TRUE(decode_ggml(type, bytes, 2, cols_, 0, 2, out).ok());
  EXPECT_FALSE(decode_ggml(type, std::span(bytes).first(bytes.size() - 1), 2, cols_, 0, 2, out).ok());
  EXPECT_FALSE(decode_ggml(type, bytes, 2, cols_, 1, 2, out).ok());
  EXPECT_FALSE(decode_ggml(type, bytes, 2, cols_, -1, 2, out).ok());
  EXPECT_FALSE(decode_ggml(type, bytes, INT64_MAX, cols_, 0, INT64_MAX, out).ok());
  EXPECT_FALSE(decode_ggml(type, bytes, INT64_MAX, INT64_MAX, 0, INT64_MAX, out).ok());
  if (format_.block_values > 1) {
    EXPECT_FALSE(decode_ggml(type, bytes, 2, cols_ - 1, 0, 2, out).ok());
  }
}

std::string name_of(const testing::TestParamInfo<GgmlScheme>& info) { return std::string(info.param.name); }
INSTANTIATE_TEST_SUITE_P(All, GgmlCodec, testing::ValuesIn(ggml_schemes().begin(), ggml_schemes().end()), name_of);

TEST(GgmlCodecErrors, NamesTheBlockWhoseScaleIsNoNumber) {
  Bytes bytes(3 * sizeof(GgmlMxfp4::Block));
  bytes[2 * sizeof(GgmlMxfp4::Block)] = std::byte{0xFF};
  QuantizedMatrix out;
  const Status status = decode_ggml(GgmlMxfp4::kId, bytes, 1, 96, 0, 1, out);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(status.error().message.find("block 2"), std::string::npos) << status.error().message;
}

TEST(GgmlCodecErrors, ActivationFormatsAreNotMatrices) {
  QuantizedMatrix out;
  const Status status = decode_ggml(GgmlQ8_1::kId, Bytes(36), 1, 32, 0, 1, out);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace nibble
