// Tests of the schemes of ggml's types: one per type, told apart, named and sized as the files are.
#include "tensor/ggml_schemes.h"

#include <gtest/gtest.h>

#include "format/ggml_blocks.h"
#include "tensor/quantized_matrix.h"

namespace nibble {
namespace {

TEST(GgmlSchemes, EveryTypeOfFilesHasOneAndTheyDiffer) {
  for (const GgmlBlockFormat& format : ggml_block_formats()) {
    const auto scheme = ggml_scheme(format.id);
    ASSERT_EQ(scheme.ok(), format.unpack != nullptr) << format.name;
    if (!scheme.ok()) continue;
    EXPECT_TRUE(scheme->validate().ok()) << format.name;
    EXPECT_EQ(ggml_type_of(*scheme), format.id) << format.name;
  }
  EXPECT_FALSE(ggml_scheme(-1).ok());
  EXPECT_FALSE(ggml_scheme(26).ok());
  EXPECT_FALSE(ggml_type_of(*parse_scheme("int4-g64-sym")).has_value());
}

TEST(GgmlSchemes, GoByTheirOwnNames) {
  for (const GgmlScheme& known : ggml_schemes()) {
    const std::string printed = to_string(known.scheme);
    EXPECT_EQ(*parse_scheme(printed), known.scheme) << printed;
    const auto parsed = parse_scheme(known.name);
    ASSERT_TRUE(parsed.ok()) << known.name;
    EXPECT_EQ(*parsed, known.scheme) << known.name;
  }
  EXPECT_EQ(to_string(*parse_scheme("Q4_K")), "q4_k");
  EXPECT_EQ(to_string(*parse_scheme("q4_0")), "int4-g32-sym");
  EXPECT_EQ(to_string(*parse_scheme("iq4_nl")), "iq4_nl");
  EXPECT_EQ(to_string(*parse_scheme("mxfp4")), "mxfp4");
  EXPECT_EQ(to_string(*parse_scheme("q4_1")), "q4_1");
  EXPECT_EQ(to_string(*parse_scheme("q8_0+dyn-token")), "int8-g32-sym+dyn-token");
}

TEST(GgmlSchemes, StoreTheBytesOfTheirBlocks) {
  for (const GgmlScheme& known : ggml_schemes()) {
    const GgmlBlockFormat& format = *find_ggml_block_format(known.type);
    std::int64_t expected = 3 * (512 / format.block_values) * format.block_bytes * 8;
    if (known.type == GgmlNvfp4::kId) expected += 32;  // the tensor's own scale
    EXPECT_EQ(known.scheme.stored_bits(3, 512), expected) << known.name;
  }
}

TEST(GgmlSchemes, PartsOfABlockFillThePlanes) {
  for (const GgmlScheme& known : ggml_schemes()) {
    const GgmlBlockFormat& format = *find_ggml_block_format(known.type);
    QuantizedMatrix matrix;
    matrix.allocate(known.scheme, 1, format.block_values, 0, 1);
    const auto size = [](int bytes) { return static_cast<std::size_t>(bytes); };
    EXPECT_EQ(matrix.codes.size(), size(format.parts.codes)) << known.name;
    const bool nested = known.scheme.scale && known.scheme.scale->nested;
    const bool outer_beside = known.type == GgmlNvfp4::kId;
    if (!outer_beside) {
      EXPECT_EQ((nested ? matrix.scale.outer : matrix.scale.entries).size(), size(format.parts.scales)) << known.name;
    }
    EXPECT_EQ(matrix.scale.codes.size(), size(format.parts.scale_codes)) << known.name;
    EXPECT_EQ((nested ? matrix.offset.outer : matrix.offset.entries).size(), size(format.parts.offsets)) << known.name;
    EXPECT_EQ(matrix.offset.codes.size(), size(format.parts.offset_codes)) << known.name;
  }
}

}  // namespace
}  // namespace nibble
