// Tests of the table of ggml types.
#include "format/ggml_types.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

TEST(GgmlTypes, NamesAndIdsAreUniqueAndFoundInEitherCase) {
  std::size_t count = 0;
  for (const GgmlTypeInfo& type : ggml_types()) {
    EXPECT_EQ(find_ggml_type(type.id), &type);
    EXPECT_EQ(find_ggml_type(type.name), &type);
    EXPECT_TRUE(removed_ggml_type(type.id).empty());
    ++count;
  }
  EXPECT_EQ(count, 35u);  // 43 ids, 8 removed
  EXPECT_EQ(find_ggml_type("Q4_K")->id, 12);
  EXPECT_EQ(find_ggml_type("q4"), nullptr);
  EXPECT_EQ(find_ggml_type(4), nullptr);
  EXPECT_EQ(removed_ggml_type(4), "q4_2");
  EXPECT_EQ(ggml_bytes(*find_ggml_type("q4_k"), 3, 512), 3u * 2u * 144u);
  EXPECT_FALSE(ggml_bytes(*find_ggml_type("q4_k"), 3, 128).has_value());
  EXPECT_FALSE(ggml_bytes(*find_ggml_type("f32"), std::uint64_t{1} << 61, 1).has_value());
  EXPECT_FALSE(ggml_bytes(*find_ggml_type("f32"), std::uint64_t{1} << 63, 2).has_value());
}

}  // namespace
}  // namespace nibble
