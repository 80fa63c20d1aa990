// Patterns mean what Python's re means by them, and no pattern takes long.
#include "io/name_pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

namespace nibble {
namespace {

using ::testing::HasSubstr;

TEST(NamePatterns, MatchIsAnchoredAtTheStartOnly) {
  NamePatterns patterns("targets");
  EXPECT_TRUE(*patterns.matches_start("model\\.layers\\.[0-9]+", "model.layers.12.mlp.up_proj"));
  EXPECT_FALSE(*patterns.matches_start("layers", "model.layers.12"));
  EXPECT_TRUE(*patterns.matches_start(".*lm_head", "model.lm_head.x"));
  EXPECT_TRUE(*patterns.matches_start("a|b", "bc"));
  EXPECT_FALSE(*patterns.matches_start("a$", "ab"));
  EXPECT_TRUE(*patterns.found_in("layers", "model.layers.12"));
  EXPECT_FALSE(*patterns.found_in("^layers", "model.layers.12"));
}

TEST(NamePatterns, WrongPatternsAreNamed) {
  NamePatterns patterns("config.json: \"ignore\"");
  const auto broken = patterns.matches_start("(", "x");
  ASSERT_FALSE(broken.ok());
  EXPECT_THAT(broken.error().message, HasSubstr("ignore"));
  EXPECT_FALSE(patterns.matches_start(std::string(5000, 'a'), "x").ok());
  EXPECT_FALSE(patterns.matches_start("((a{1000}){1000}){1000}", "x").ok());
}

TEST(NamePatterns, CatastrophicPatternsEndSoon) {
  const auto start = std::chrono::steady_clock::now();
  for (const char* pattern :
       {"(a+)+$", "(a|aa)+$", "(.*)*(.*)*(.*)*x", "^(([a-z])+.)+[A-Z]([a-z])+$", "(?R)?a*a*a*a*a*x"}) {
    NamePatterns patterns("field");
    const auto result = patterns.matches_start(pattern, std::string(200, 'a') + "!");
    EXPECT_TRUE(!result.ok() || !*result) << pattern;
  }
  // Slow patterns use up the budget of the configuration, not hours.
  NamePatterns patterns("field");
  bool refused = false;
  for (int i = 0; i < 100'000 && !refused; ++i)
    refused = !patterns.matches_start("(a?){12}b" + std::to_string(i % 3), std::string(24, 'a')).ok();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(120));
}

}  // namespace
}  // namespace nibble
