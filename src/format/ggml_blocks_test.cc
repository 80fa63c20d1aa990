// Tests of ggml's block formats against the vectors of tests/golden/ggml, and exhaustively where codes are small.
#include "format/ggml_blocks.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/mapped_file.h"
#include "format/element_type.h"
#include "format/ggml_blocks_codebooks.h"
#include "format/ggml_types.h"

namespace nibble {
namespace {

using Bytes = std::vector<std::byte>;

Json read_json(const std::string& path) {
  const auto text = read_text_file(path);
  if (!text.ok()) return Json();
  auto json = parse_untrusted(*text, path);
  return json.ok() ? *json : Json();
}

Json golden(std::string_view name) {
  return read_json(std::string(NIBBLE_SOURCE_DIR) + "/tests/golden/ggml/ggml-" + std::string(name) + ".json");
}

Bytes from_hex(const std::string& hex) {
  Bytes bytes(hex.size() / 2);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
  }
  return bytes;
}

std::vector<float> floats_of(const Json& list) {
  std::vector<float> out;
  for (const Json& number : list) out.push_back(static_cast<float>(number.get<double>()));
  return out;
}

Bytes random_bytes(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  Bytes bytes(count);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random() & 255u);
  return bytes;
}

void expect_same_bits(const std::vector<float>& found, const std::vector<float>& expected, const std::string& what) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(found[i]), std::bit_cast<std::uint32_t>(expected[i]))
        << what << ", element " << i << ": " << found[i] << ", expected " << expected[i];
  }
}

std::vector<float> dequantized(const GgmlBlockFormat& format, const Bytes& bytes) {
  const std::size_t count = bytes.size() / static_cast<std::size_t>(format.block_bytes);
  std::vector<float> values(count * static_cast<std::size_t>(format.block_values));
  format.dequantize(bytes.data(), count, values.data());
  return values;
}

/// Room for the parts of one block.
struct OnePart {
  std::vector<std::uint8_t> codes, scales, scale_codes, offsets, offset_codes;
  explicit OnePart(const GgmlPartBytes& bytes)
      : codes(static_cast<std::size_t>(bytes.codes)),
        scales(static_cast<std::size_t>(bytes.scales)),
        scale_codes(static_cast<std::size_t>(bytes.scale_codes)),
        offsets(static_cast<std::size_t>(bytes.offsets)),
        offset_codes(static_cast<std::size_t>(bytes.offset_codes)) {}
  GgmlParts view() { return {codes.data(), scales.data(), scale_codes.data(), offsets.data(), offset_codes.data()}; }
  GgmlConstParts const_view() const {
    return {codes.data(), scales.data(), scale_codes.data(), offsets.data(), offset_codes.data()};
  }
};

class GgmlBlocks : public testing::TestWithParam<GgmlBlockFormat> {};
class GgmlQuantizers : public GgmlBlocks {};  // block types that can be quantized to
class GgmlPacking : public GgmlBlocks {};     // types that can be written

template <typename Predicate>
std::vector<GgmlBlockFormat> formats_where(Predicate predicate) {
  std::vector<GgmlBlockFormat> out;
  for (const GgmlBlockFormat& format : ggml_block_formats()) {
    if (predicate(format)) out.push_back(format);
  }
  return out;
}

TEST_P(GgmlBlocks, AgreesWithTheTypeTable) {
  const GgmlTypeInfo* info = find_ggml_type(GetParam().id);
  ASSERT_NE(info, nullptr);
  EXPECT_EQ(find_ggml_type(GetParam().name), info);
  EXPECT_EQ(GetParam().block_values, info->block_values);
  EXPECT_EQ(GetParam().block_bytes, info->block_bytes);
  EXPECT_EQ(find_ggml_block_format(GetParam().name), find_ggml_block_format(GetParam().id));
}

TEST_P(GgmlBlocks, DequantizesTheVectors) {
  const GgmlBlockFormat& format = GetParam();
  if (format.block_values == 1) return;  // float types have scalar vectors, below
  const Json file = golden(format.name);
  ASSERT_TRUE(file.is_object()) << "no vectors for " << format.name;
  EXPECT_EQ(file["id"], format.id);
  int cases = 0;
  for (const char* section : {"quantize", "dequantize"}) {
    if (!file.contains(section)) continue;
    for (const Json& one : file[section]) {
      if (!one.contains("dequantized")) continue;
      expect_same_bits(dequantized(format, from_hex(one["bytes"])), floats_of(one["dequantized"]), one["case"]);
      ++cases;
    }
  }
  EXPECT_TRUE(cases > 0 || format.unpack == nullptr) << "only activation formats may lack cases";
}

TEST_P(GgmlQuantizers, GiveTheBytesOfTheVectors) {
  const GgmlBlockFormat& format = GetParam();
  const Json file = golden(format.name);
  int cases = 0;
  for (const Json& one : file["quantize"]) {
    if (one.contains("importance")) continue;
    const std::vector<float> input = floats_of(one["input"]);
    const Bytes expected = from_hex(one["bytes"]);
    Bytes found(expected.size());
    format.quantize(input.data(), input.size() / static_cast<std::size_t>(format.block_values), found.data());
    EXPECT_EQ(found, expected) << one["case"];
    ++cases;
  }
  EXPECT_GE(cases, 3);
}

TEST_P(GgmlPacking, UndoesUnpacking) {
  const GgmlBlockFormat& format = GetParam();
  const auto size = static_cast<std::size_t>(format.block_bytes);
  const Bytes bytes = random_bytes(size * 300, 7);
  for (std::size_t at = 0; at < bytes.size(); at += size) {
    OnePart parts(format.parts);
    format.unpack(bytes.data() + at, 1, parts.view());
    Bytes packed(size);
    format.pack(parts.const_view(), 1, packed.data());
    if (format.id == GgmlTq1_0::kId ||
        format.id == GgmlMxfp4::kId) {  // bytes that do not come back: see their comments
      OnePart again(format.parts);
      format.unpack(packed.data(), 1, again.view());
      ASSERT_EQ(again.codes, parts.codes);
      ASSERT_EQ(again.scales, parts.scales);
    } else {
      ASSERT_EQ(packed, Bytes(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                              bytes.begin() + static_cast<std::ptrdiff_t>(at + size)));
    }
  }
}

TEST_P(GgmlQuantizers, SurviveAnyFloats) {
  const GgmlBlockFormat& format = GetParam();
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto n = static_cast<std::size_t>(format.block_values);
  for (const float special : {inf, -inf, nan, 3e38f, -3e38f, 1e-45f, -1e-40f}) {
    for (const float rest : {0.0f, 1.0f, -1.0f}) {
      std::vector<float> values(n, rest);
      values[n / 2] = special;
      Bytes block(static_cast<std::size_t>(format.block_bytes));
      format.quantize(values.data(), 1, block.data());  // run under the sanitizers
    }
  }
}

std::string name_of(const testing::TestParamInfo<GgmlBlockFormat>& info) { return std::string(info.param.name); }
bool has_block_quantizer(const GgmlBlockFormat& format) {
  return format.quantize != nullptr && format.block_values > 1;
}
bool has_pack(const GgmlBlockFormat& format) { return format.pack != nullptr; }
INSTANTIATE_TEST_SUITE_P(All, GgmlBlocks, testing::ValuesIn(formats_where([](const auto&) { return true; })), name_of);
INSTANTIATE_TEST_SUITE_P(All, GgmlQuantizers, testing::ValuesIn(formats_where(has_block_quantizer)), name_of);
INSTANTIATE_TEST_SUITE_P(All, GgmlPacking, testing::ValuesIn(formats_where(has_pack)), name_of);

TEST(GgmlBlockTable, HoldsEveryTypeOfFilesThatIsNotAnInteger) {
  for (const GgmlTypeInfo& info : ggml_types()) {
    const bool scalar = info.id >= 24 && info.id <= 28;  // i8 .. i64, f64
    EXPECT_EQ(find_ggml_block_format(info.id) != nullptr, !scalar) << info.name;
  }
  EXPECT_EQ(find_ggml_block_format(4), nullptr);
  EXPECT_EQ(find_ggml_block_format("q4_2"), nullptr);
}

TEST(GgmlFloatTypes, ConvertTheVectors) {
  const Json file = golden("f16-bf16");
  ASSERT_TRUE(file.is_object());
  for (const Json& one : file["conversions"]) {
    const auto bits = [&](const char* key) {
      return static_cast<std::uint32_t>(std::stoul(one[key].get<std::string>(), nullptr, 16));
    };
    const float value = std::bit_cast<float>(bits("f32"));
    GgmlF16::Block half;
    GgmlF16::quantize(&value, half);
    EXPECT_EQ(half.value, bits("f16")) << one["f32"];
    GgmlBf16::Block brain;
    GgmlBf16::quantize(&value, brain);
    EXPECT_EQ(brain.value, bits("bf16")) << one["f32"];
  }
}

TEST(GgmlFloatTypes, EveryHalfComesBack) {
  for (std::uint32_t code = 0; code < 65536; ++code) {
    float value;
    GgmlF16::Block half{static_cast<std::uint16_t>(code)};
    GgmlF16::dequantize(half, &value);
    if (!std::isnan(value)) {
      GgmlF16::quantize(&value, half);
      ASSERT_EQ(half.value, code);
    }
    GgmlBf16::Block brain{static_cast<std::uint16_t>(code)};
    GgmlBf16::dequantize(brain, &value);
    if (!std::isnan(value)) {
      GgmlBf16::quantize(&value, brain);
      ASSERT_EQ(brain.value, code);
    }
  }
}

TEST(GgmlTernary, EveryByteDecodesAndEveryDigitStringComesBack) {
  for (unsigned v = 0; v < 243; ++v) {
    std::uint8_t codes[256] = {};
    const std::uint8_t scale[2] = {0, 0x3C};
    unsigned rest = v;
    for (int k = 4; k >= 0; --k, rest /= 3) codes[32 * k] = static_cast<std::uint8_t>(rest % 3);
    GgmlTq1_0::Block block;
    GgmlTq1_0::pack(GgmlConstParts{codes, scale, nullptr, nullptr, nullptr}, block);
    EXPECT_EQ(block.codes[0], (v * 256 + 242) / 243);
    const GgmlUnpacked<GgmlTq1_0> parts(block);
    for (int k = 0; k < 5; ++k) ASSERT_EQ(parts.codes[32 * k], codes[32 * k]) << v;
  }
  GgmlTq1_0::Block block{};
  for (unsigned b = 0; b < 256; ++b) {
    for (std::uint8_t& byte : block.codes) byte = static_cast<std::uint8_t>(b);
    for (std::uint8_t& byte : block.rest) byte = static_cast<std::uint8_t>(b);
    const GgmlUnpacked<GgmlTq1_0> parts(block);
    for (const std::uint8_t code : parts.codes) ASSERT_LE(code, 2);
  }
}

TEST(GgmlFp4, ScalesOfEveryByte) {
  const Json file = golden("fp4-scales");
  ASSERT_TRUE(file.is_object());
  float values[64];
  for (const Json& one : file["e8m0_half"]) {
    GgmlMxfp4::Block block{static_cast<std::uint8_t>(one["byte"].get<int>()), {0x22}};
    GgmlMxfp4::dequantize(block, values);
    EXPECT_EQ(values[0], 2 * static_cast<float>(one["half_scale"].get<double>())) << one["byte"];
  }
  for (int code = 0; code < 256; ++code) {
    GgmlNvfp4::Block block{};
    block.scales[0] = static_cast<std::uint8_t>(code);
    block.codes[0] = 0x22;
    GgmlNvfp4::dequantize(block, values);
    const auto expected = static_cast<float>(file["ue4m3_value"][static_cast<std::size_t>(code & 127)].get<double>());
    EXPECT_EQ(values[0], code == 255 ? 480.0f : expected) << code;
    const GgmlUnpacked<GgmlNvfp4> parts(block);
    if (code == 255) continue;
    EXPECT_EQ(e4m3_to_f32(parts.scale_codes[0]), expected) << code;
  }
}

TEST(GgmlCodebooks, EqualTheReference) {
  const Json file = read_json(std::string(NIBBLE_SOURCE_DIR) + "/../shared/reference/vectors/iq-codebooks.json");
  if (!file.is_object()) GTEST_SKIP() << "../shared/reference/vectors is not there";
  const auto compare = [&](const char* name, const auto& grid) {
    const Json& entries = file[name]["entries"];
    ASSERT_EQ(entries.size(), grid.size()) << name;
    for (std::size_t i = 0; i < grid.size(); ++i) {
      const std::string letters = entries[i];
      ASSERT_EQ(letters.size(), grid[i].size());
      for (std::size_t j = 0; j < letters.size(); ++j) ASSERT_EQ(grid[i][j], letters[j] - 'a') << name << " " << i;
    }
  };
  compare("IQ2_XXS", kIq2XxsGrid);
  compare("IQ2_XS", kIq2XsGrid);
  compare("IQ2_S", kIq2SGrid);
  compare("IQ3_XXS", kIq3XxsGrid);
  compare("IQ3_S", kIq3SGrid);
  compare("IQ1_S", kIq1Grid);
}

}  // namespace
}  // namespace nibble
