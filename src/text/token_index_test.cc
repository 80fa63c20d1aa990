// The lookup tables, where their callers could trip: empty keys, growth, repeated keys.
#include "text/token_index.h"

#include <gtest/gtest.h>

#include <string>

namespace nibble {
namespace {

/// Found by fuzzing: hashing a view without data copied from a null pointer.
TEST(TokenIndex, TheEmptyKeyIsAKeyLikeAnyOther) {
  TokenIndex index;
  EXPECT_EQ(index.find({}), -1);
  EXPECT_EQ(index.insert("a", 1), std::nullopt);
  EXPECT_EQ(index.find({}), -1);
  EXPECT_EQ(index.insert({}, 2), std::nullopt);
  EXPECT_EQ(index.find(""), 2);
}

TEST(TokenIndex, GrowsAndKeepsTheFirstOfEqualKeys) {
  std::vector<std::string> keys;
  for (int i = 0; i < 1000; ++i) keys.push_back("key " + std::to_string(i));
  TokenIndex index;
  for (std::int32_t i = 0; i < 1000; ++i) EXPECT_EQ(index.insert(keys[static_cast<std::size_t>(i)], i), std::nullopt);
  EXPECT_EQ(index.insert("key 7", 5), 7);
  for (std::int32_t i = 0; i < 1000; ++i) EXPECT_EQ(index.find(keys[static_cast<std::size_t>(i)]), i);
  EXPECT_EQ(index.find("key 1000"), -1);
}

TEST(MergeIndex, GrowsAndReplacesOnlyWhenAsked) {
  MergeIndex index;
  EXPECT_EQ(index.find(-1, -1).id, -1);
  for (std::int32_t i = 0; i < 1000; ++i) EXPECT_TRUE(index.insert(i, -i, {static_cast<std::uint32_t>(i), i}, false));
  EXPECT_FALSE(index.insert(3, -3, {9, 9}, false));
  EXPECT_EQ(index.find(3, -3).id, 3);
  EXPECT_FALSE(index.insert(3, -3, {9, 9}, true));
  EXPECT_EQ(index.find(3, -3).id, 9);
  EXPECT_EQ(index.find(999, -999).id, 999);
  EXPECT_EQ(index.find(999, 999).id, -1);
}

}  // namespace
}  // namespace nibble
