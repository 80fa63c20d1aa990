// Tests of the GGUF family: which tensors are modules, which type holds a scheme, and that writing changes no value.
#include "io/ggml.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>

#include "base/half.h"
#include "format/ggml_blocks.h"
#include "tensor/ggml_codec.h"
#include "tensor/ggml_schemes.h"

namespace nibble {
namespace {

using Bytes = std::vector<std::byte>;

Bytes random_bytes(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  Bytes bytes(count);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random() & 0x7Bu);  // no E4M3 or E8M0 NaN, no infinite half
  return bytes;
}

/// Tensors over bytes of their own.
struct Tensors {
  TensorSet set;
  std::vector<std::shared_ptr<Bytes>> storage;

  void add(const std::string& name, int type, std::vector<std::int64_t> shape, Bytes bytes) {
    storage.push_back(std::make_shared<Bytes>(std::move(bytes)));
    StoredTensor tensor;
    tensor.name = name;
    tensor.shape = std::move(shape);
    tensor.ggml_type = type;
    tensor.bytes = *storage.back();
    ASSERT_TRUE(set.add(std::move(tensor)).ok());
  }
  Result<std::vector<FamilyModule>> open() const {
    const Json none = Json::object();
    return kGgmlFamily.open(FamilyInput{"m.gguf", none, none, set, true});
  }
};

std::vector<float> values_of(const MatrixSource& source) {
  QuantizedMatrix matrix;
  EXPECT_TRUE(source.decode(0, source.rows(), matrix).ok());
  std::vector<float> values(static_cast<std::size_t>(source.rows() * source.cols()));
  dequantize(matrix, values.data());
  return values;
}

TEST(GgmlFamily, ModulesAreTheMatrices) {
  Tensors tensors;
  tensors.add("token_embd.weight", GgmlQ4_K::kId, {3, 512}, random_bytes(3 * 2 * sizeof(GgmlQ4_K::Block), 1));
  tensors.add("blk.0.attn_norm.weight", GgmlF32::kId, {512}, Bytes(2048));
  tensors.add("blk.0.attn_q.weight", GgmlF16::kId, {2, 5}, random_bytes(20, 2));
  tensors.add("blk.0.attn_q.bias", GgmlF32::kId, {2}, Bytes(8));
  tensors.add("blk.0.ffn_up_exps.weight", GgmlQ8_0::kId, {2, 2, 32}, Bytes(4 * 34));
  tensors.add("blk.0.one_row.weight", GgmlQ8_0::kId, {64}, random_bytes(68, 3));
  const auto modules = tensors.open();
  ASSERT_TRUE(modules.ok()) << modules.error().message;
  ASSERT_EQ(modules->size(), 3u);
  EXPECT_EQ((*modules)[0].module, "token_embd");
  EXPECT_EQ(to_string((*modules)[0].weight->scheme()), "q4_k");
  EXPECT_EQ((*modules)[1].module, "blk.0.attn_q");
  EXPECT_EQ(to_string((*modules)[1].weight->scheme()), "f16");
  EXPECT_EQ((*modules)[2].module, "blk.0.one_row");
  EXPECT_EQ((*modules)[2].weight->rows(), 1);
  EXPECT_EQ((*modules)[2].weight->cols(), 64);
  std::vector<float> expected(3 * 512);
  find_ggml_block_format(GgmlQ4_K::kId)->dequantize(tensors.storage[0]->data(), 6, expected.data());
  EXPECT_EQ(values_of(*(*modules)[0].weight), expected);
}

TEST(GgmlFamily, Nvfp4TakesTheScaleBesideIt) {
  Tensors tensors;
  const float scale = 0.75f;
  Bytes scale_bytes(4);
  std::memcpy(scale_bytes.data(), &scale, 4);
  const Bytes blocks = random_bytes(4 * sizeof(GgmlNvfp4::Block), 5);
  tensors.add("a.weight", GgmlNvfp4::kId, {2, 128}, blocks);
  tensors.add("b.weight", GgmlNvfp4::kId, {2, 128}, blocks);
  tensors.add("b.scale", GgmlF32::kId, {1}, scale_bytes);
  const auto modules = tensors.open();
  ASSERT_TRUE(modules.ok()) << modules.error().message;
  ASSERT_EQ(modules->size(), 2u);
  EXPECT_EQ((*modules)[0].consumed.size(), 1u);
  EXPECT_EQ((*modules)[1].consumed.size(), 2u);
  std::vector<float> plain = values_of(*(*modules)[0].weight);
  std::vector<float> expected(256);
  find_ggml_block_format(GgmlNvfp4::kId)->dequantize(blocks.data(), 4, expected.data());
  EXPECT_EQ(plain, expected);
  for (float& value : plain) value *= scale;  // exact: 0.75 times numbers of six bits
  EXPECT_EQ(values_of(*(*modules)[1].weight), plain);
}

TEST(GgmlFamily, NamesTheTensorThatDoesNotFit) {
  Tensors ragged;
  ragged.add("x.weight", GgmlQ4_0::kId, {2, 48}, Bytes(54));
  Tensors cut;
  cut.add("x.weight", GgmlQ4_0::kId, {2, 64}, Bytes(71));
  Tensors bad_scale;
  bad_scale.add("x.weight", GgmlNvfp4::kId, {1, 64}, Bytes(36));
  bad_scale.add("x.scale", GgmlF32::kId, {2}, Bytes(8));
  for (const Tensors* tensors : {&ragged, &cut, &bad_scale}) {
    const auto modules = tensors->open();
    ASSERT_FALSE(modules.ok());
    EXPECT_NE(modules.error().message.find("m.gguf"), std::string::npos) << modules.error().message;
    EXPECT_NE(modules.error().message.find("\"x."), std::string::npos) << modules.error().message;
  }
}

TEST(GgmlFamily, HoldsTheSchemesOfItsTypes) {
  for (const char* name : {"f32", "bf16", "q4_k", "q8_0", "int4-g32-sym", "ternary-g256", "q8_0+dyn-token"}) {
    const auto scheme = parse_scheme(name);
    ASSERT_TRUE(scheme.ok()) << name;
    EXPECT_TRUE(kGgmlFamily.can_express(*scheme, 32, 512).ok()) << name;
  }
  const std::pair<const char*, const char*> refused[] = {{"q4_k", "blocks of 256"},
                                                         {"iq2_xs", "not written"},
                                                         {"nvfp4", "not written"},
                                                         {"int4-g128-sym", "no GGUF type"},
                                                         {"nf4-g64", "no GGUF type"}};
  for (const auto& [name, reason] : refused) {
    const Status status =
        kGgmlFamily.can_express(*parse_scheme(name), 32, std::string_view(name) == "q4_k" ? 288 : 256);
    ASSERT_FALSE(status.ok()) << name;
    EXPECT_NE(status.error().message.find(reason), std::string::npos) << status.error().message;
  }
}

/// Random codes, scales that are numbers, zero points within the codes' range.
QuantizedMatrix random_matrix(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols) {
  std::mt19937 random(11);
  QuantizedMatrix m;
  m.allocate(scheme, rows, cols, 0, rows);
  const unsigned mask = (1u << scheme.code.bits) - 1;
  for (std::uint8_t& code : m.codes) code = static_cast<std::uint8_t>(random() & mask);
  const auto fill_halves = [&random](std::vector<std::byte>& entries) {
    for (std::size_t i = 0; i + 1 < entries.size(); i += 2) {
      const auto half = static_cast<std::uint16_t>(random() & 0xBBFFu);  // finite, of both signs
      std::memcpy(entries.data() + i, &half, 2);
    }
  };
  if (scheme.scale && scheme.scale->element == ElementType::kE8m0) {
    for (std::byte& entry : m.scale.entries) entry = static_cast<std::byte>(random() % 255);
  } else {
    fill_halves(m.scale.entries);
  }
  fill_halves(m.offset.entries);
  for (std::size_t i = 0; i + 1 < m.zero.entries.size(); i += 2) {
    const auto zero = static_cast<std::int16_t>(random() % (mask + 2));
    std::memcpy(m.zero.entries.data() + i, &zero, 2);
  }
  return m;
}

/// The bytes that the family writes for a matrix, in two ranges of rows.
Result<Bytes> encode_all(const QuantizedMatrix& whole) {
  const auto plan = kGgmlFamily.plan(whole.scheme, whole.rows, whole.cols, "m");
  if (!plan.ok()) return plan.error();
  EXPECT_EQ((*plan)[0].name, "m.weight");
  EXPECT_EQ((*plan)[0].shape, (std::vector<std::int64_t>{whole.rows, whole.cols}));
  NIBBLE_TRY(const std::int64_t row_bytes, ggml_row_bytes((*plan)[0].ggml_type, whole.cols));
  Bytes file(static_cast<std::size_t>(row_bytes * whole.rows));
  std::uint64_t written = 0;
  const EncodedSink sink = [&](std::size_t index, std::uint64_t offset, std::span<const std::byte> bytes) -> Status {
    EXPECT_EQ(index, 0u);
    EXPECT_EQ(offset, written);
    std::memcpy(file.data() + offset, bytes.data(), bytes.size());
    written += bytes.size();
    return {};
  };
  const MatrixPtr source = make_source(whole);
  const std::int64_t step = 4;
  for (std::int64_t row = 0; row < whole.rows; row += step) {
    QuantizedMatrix rows;
    NIBBLE_TRY_STATUS(source->decode(row, std::min(step, whole.rows - row), rows));
    NIBBLE_TRY_STATUS(kGgmlFamily.encode(rows, "m", sink));
  }
  EXPECT_EQ(written, file.size());
  return file;
}

TEST(GgmlEncode, ChangesNoBitOfAnyValue) {
  std::vector<QuantScheme> schemes;
  for (const char* name :
       {"ternary-g64", "binary-g128", "ternary-g256", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "mxfp4", "iq4_nl"}) {
    schemes.push_back(*parse_scheme(name));
  }
  for (const QuantScheme& scheme : schemes) {
    constexpr std::int64_t kRows = 6;
    constexpr std::int64_t kCols = 768;
    const QuantizedMatrix matrix = random_matrix(scheme, kRows, kCols);
    ASSERT_TRUE(matrix.validate().ok());
    std::vector<float> expected(kRows * kCols);
    dequantize(matrix, expected.data());
    const auto file = encode_all(matrix);
    ASSERT_TRUE(file.ok()) << to_string(scheme) << ": " << file.error().message;
    const GgmlBlockFormat& format = *find_ggml_block_format(*ggml_type_of(scheme));
    std::vector<float> found(expected.size());
    format.dequantize(file->data(), found.size() / static_cast<std::size_t>(format.block_values), found.data());
    const bool fp4 = scheme.code.float_type == ElementType::kF4;  // ggml has no -0
    for (std::size_t i = 0; i < found.size(); ++i) {
      const float wanted = fp4 ? expected[i] + 0.0f : expected[i];
      ASSERT_EQ(std::bit_cast<std::uint32_t>(found[i]), std::bit_cast<std::uint32_t>(wanted))
          << to_string(scheme) << " as " << format.name << ", weight " << i << ": " << found[i] << ", expected "
          << expected[i];
    }
  }
}

}  // namespace
}  // namespace nibble
