// Expressions, rules, recursion, and the automaton's bounds.
#include "text/grammar/grammar_builder.h"

#include <gmock/gmock.h>

#include <random>

#include "base/utf8.h"
#include "text/grammar/grammar_test_support.h"

namespace nibble {
namespace {

using ::testing::HasSubstr;
using Expression = GrammarBuilder::Expression;

std::string utf8(char32_t code) {
  std::string out;
  append_utf8(out, code);
  return out;
}

std::shared_ptr<const Grammar> built(GrammarBuilder& builder, Expression expression) {
  const auto root = builder.declare("root");
  builder.define(root, expression);
  auto grammar = builder.build(root);
  EXPECT_TRUE(grammar.ok()) << grammar.error().message;
  return *grammar;
}

TEST(GrammarBuilder, RangesAreJoinedAndComplemented) {
  const auto text_of = [](const std::vector<CodePointRange>& ranges) {
    std::string out;
    for (const CodePointRange& range : ranges)
      out += fmt::format("{:x}-{:x} ", static_cast<unsigned>(range.first), static_cast<unsigned>(range.last));
    return out;
  };
  EXPECT_EQ(text_of(normalized_ranges({{5, 9}, {1, 2}, {3, 4}, {20, 30}, {25, 26}})), "1-9 14-1e ");
  EXPECT_EQ(text_of(normalized_ranges({{0xD000, 0xE000}, {0x10FFFF, 0x7FFFFFFF}})),
            "d000-d7ff e000-e000 10ffff-10ffff ");
  EXPECT_EQ(text_of(normalized_ranges({{0xD800, 0xDFFF}})), "");
  EXPECT_EQ(text_of(complement({})), "0-d7ff e000-10ffff ");
  EXPECT_EQ(text_of(complement({{0, 0x10FFFF}})), "");
  EXPECT_EQ(text_of(complement({{'a', 'b'}, {0x10FFFF, 0x10FFFF}})), "0-60 63-d7ff e000-10fffe ");
}

TEST(GrammarBuilder, CharactersAreThoseOfTheRange) {
  std::mt19937 generator(1);
  const auto random = [&] { return static_cast<char32_t>(generator()); };
  const char32_t edges[] = {0,      0x7F,   0x80,   0x7FF,   0x800,   0xFFF,   0x1000,
                            0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x3FFFF, 0x40000, 0x10FFFF};
  for (int round = 0; round < 60; ++round) {
    const auto pick = [&] {
      const char32_t edge = edges[random() % std::size(edges)];
      return round % 2 == 0 ? edge : std::min<char32_t>(edge + random() % 5000, 0x10FFFF);
    };
    char32_t first = pick();
    char32_t last = pick();
    if (first > last) std::swap(first, last);
    GrammarBuilder builder;
    const auto ranges = normalized_ranges({{first, last}});
    if (ranges.empty()) continue;
    const auto grammar = built(builder, builder.characters({{first, last}}));
    const auto is_inside = [&](char32_t code) { return code >= first && code <= last; };
    for (int i = 0; i < 40; ++i) {
      char32_t code = i == 0 ? first : i == 1 ? last : i == 2 ? first - 1 : i == 3 ? last + 1 : random() % 0x110000;
      if (i > 20) code = std::min<char32_t>(first + (random() % (last - first + 1)), last);
      if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) continue;
      EXPECT_EQ(accepts(grammar, utf8(code)), is_inside(code))
          << std::uint32_t{first} << "-" << std::uint32_t{last} << " " << std::uint32_t{code};
    }
  }
}

TEST(GrammarBuilder, RepetitionsKeepTheirBounds) {
  for (const std::uint64_t min : {0, 1, 2, 5}) {
    for (const std::uint64_t max : {0, 1, 2, 5, 9, 99}) {
      if (max < min) continue;
      GrammarBuilder builder;
      const bool unbounded = max == 99;
      const Expression item = builder.choice({builder.text("ab"), builder.text("c")});
      const auto grammar = built(builder, builder.repeat(item, min, unbounded ? std::nullopt : std::optional(max)));
      std::string text;
      for (std::uint64_t n = 0; n < 13; ++n) {
        EXPECT_EQ(accepts(grammar, text), n >= min && (unbounded || n <= max)) << min << " " << max << " " << text;
        EXPECT_FALSE(accepts(grammar, text + "a"));
        text += n % 2 == 0 ? "ab" : "c";
      }
    }
  }
}

TEST(GrammarBuilder, RepetitionsOfWhatMayBeEmptyEnd) {
  GrammarBuilder builder;
  const Expression may_be_empty = builder.repeat(builder.optional(builder.text("a")), 0, {});
  const auto grammar = built(builder, builder.sequence({builder.repeat(may_be_empty, 3, {}), builder.text("b"),
                                                        builder.repeat(may_be_empty, 2, 4)}));
  for (const char* text : {"b", "aab", "aabaaaaaaaaa"}) EXPECT_TRUE(accepts(grammar, text)) << text;
  for (const char* text : {"", "a", "bb"}) EXPECT_FALSE(accepts(grammar, text)) << text;
}

TEST(GrammarBuilder, SeparatedItems) {
  GrammarBuilder builder;
  const auto grammar = built(builder, builder.sequence({builder.text("<"),
                                                        builder.separated({{builder.text("a"), false, false},
                                                                           {builder.text("b"), true, false},
                                                                           {builder.text("c"), false, false},
                                                                           {builder.text("d"), false, true}},
                                                                          builder.text(","), builder.text("!")),
                                                        builder.text(">")}));
  for (const char* text : {"<b!>", "<a,b!>", "<b,c!>", "<b,d!>", "<a,b,c,d,d,d!>"})
    EXPECT_TRUE(accepts(grammar, text)) << text;
  for (const char* text : {"<>", "<a!>", "<b>", "<,b!>", "<b,!>", "<b,a!>", "<b,c,c!>", "<b,d,c!>", "<a,c!>"})
    EXPECT_FALSE(accepts(grammar, text)) << text;
}

/// S = "(" S ")" S | nothing
TEST(GrammarBuilder, RulesMayNest) {
  GrammarLimits limits;
  limits.max_stack_depth = 10;
  GrammarBuilder builder(limits);
  const auto s = builder.declare("S");
  builder.define(
      s, builder.optional(builder.sequence({builder.text("("), builder.call(s), builder.text(")"), builder.call(s)})));
  const auto grammar = built(builder, builder.sequence({builder.call(s), builder.text(".")}));
  for (const char* text : {".", "().", "(()())().", "((((((((())))))))).", "()()()()()()()()()()()()()()()()."})
    EXPECT_TRUE(accepts(grammar, text)) << text;
  for (const char* text : {"", "(.", ").", "(()."}) EXPECT_FALSE(accepts(grammar, text)) << text;
  GrammarState state = start_of(grammar);
  int depth = 0;
  while (depth < 100 && state.accept_bytes("(").ok()) ++depth;
  EXPECT_EQ(depth, 10);
  EXPECT_TRUE(state.accept_bytes(std::string(10, ')') + ".").ok());
}

/// S = "a" S "a" | "b" S "b" | "c": every letter may be one of the first half or of the second.
TEST(GrammarBuilder, AmbiguousTextsShareTheirStacks) {
  GrammarLimits limits;
  limits.max_stack_depth = 100;
  GrammarBuilder builder(limits);
  const auto s = builder.declare("S");
  std::vector<Expression> choices = {builder.empty()};
  for (const char* letter : {"a", "b"})
    choices.push_back(builder.sequence({builder.text(letter), builder.call(s), builder.text(letter)}));
  builder.define(s, builder.choice(choices));
  const auto grammar = built(builder, builder.sequence({builder.call(s), builder.text(".")}));
  EXPECT_TRUE(accepts(grammar, "abbaabba."));
  EXPECT_FALSE(accepts(grammar, "abbaabbb."));
  std::string letters;
  for (int i = 0; i < 90; ++i) letters += "a";
  EXPECT_TRUE(accepts(grammar, letters + "."));
  EXPECT_FALSE(accepts(grammar, letters + "a."));
}

/// Two alternatives that both go on with the same rule at each level: 2^40 ways, but few stacks.
TEST(GrammarBuilder, AlternativesAtEachLevelDoNotMultiply) {
  GrammarBuilder builder;
  const auto s = builder.declare("S");
  const Expression left = builder.sequence({builder.text("["), builder.call(s), builder.text("]")});
  const Expression right =
      builder.sequence({builder.text("["), builder.call(s), builder.text("]"), builder.optional(builder.text("!"))});
  builder.define(s, builder.choice({left, right, builder.text("x")}));
  const auto grammar = built(builder, builder.call(s));
  std::string open;
  std::string close;
  for (int i = 0; i < 40; ++i) {
    open += "[";
    close += i % 2 == 0 ? "]" : "]!";
  }
  EXPECT_TRUE(accepts(grammar, open + "x" + close));
  EXPECT_FALSE(accepts(grammar, open + "x" + close + "!!"));
}

TEST(GrammarBuilder, RightRecursionNeedsNoStack) {
  GrammarBuilder builder;
  const auto list = builder.declare("list");
  builder.define(list, builder.sequence({builder.text("a"), builder.optional(builder.call(list))}));
  const auto grammar = built(builder, builder.call(list));
  GrammarState state = start_of(grammar);
  ASSERT_TRUE(state.accept_bytes(std::string(10000, 'a')).ok());
  EXPECT_TRUE(state.may_end());
  EXPECT_EQ(state.depth(), 0u);
}

TEST(GrammarBuilder, RefusesLeftRecursion) {
  GrammarBuilder builder;
  const auto a = builder.declare("A");
  const auto b = builder.declare("B");
  const Expression nothing_or_x = builder.as_rule("N", builder.optional(builder.text("x")));
  builder.define(a, builder.choice({builder.text("a"), builder.sequence({nothing_or_x, builder.call(b)})}));
  builder.define(b, builder.sequence({builder.optional(builder.text("y")), builder.call(a), builder.text("b")}));
  const auto grammar = builder.build(a);
  ASSERT_FALSE(grammar.ok());
  EXPECT_THAT(grammar.error().message, HasSubstr("refers to itself with nothing in between"));
}

TEST(GrammarBuilder, LeavesOutWhatCannotEnd) {
  GrammarBuilder builder;
  const auto forever = builder.declare("forever");
  builder.define(forever, builder.sequence({builder.text("x"), builder.call(forever)}));
  const auto grammar =
      built(builder, builder.choice({builder.sequence({builder.text("ab"), builder.call(forever)}), builder.text("ac"),
                                     builder.sequence({builder.text("z"), builder.nothing()})}));
  GrammarState state = start_of(grammar);
  auto bitmask = bitmask_for(*byte_trie());
  ASSERT_TRUE(state.allowed(bitmask).ok());
  EXPECT_EQ(tokens_of(bitmask), (std::vector<std::int32_t>{'a'}));
  ASSERT_TRUE(state.accept('a').ok());
  ASSERT_TRUE(state.allowed(bitmask).ok());
  EXPECT_EQ(tokens_of(bitmask), (std::vector<std::int32_t>{'c'}));
  const auto never = builder.build(forever);
  ASSERT_FALSE(never.ok());
  EXPECT_THAT(never.error().message, HasSubstr("no text can satisfy"));
}

TEST(GrammarBuilder, ReportsTheFirstLimit) {
  GrammarLimits limits;
  limits.max_states = 100;
  limits.max_rules = 5;
  limits.max_expression_depth = 10;
  const auto message = [](GrammarBuilder& builder, Expression expression) {
    const auto root = builder.declare("root");
    builder.define(root, expression);
    const auto grammar = builder.build(root);
    return grammar.ok() ? std::string("built") : grammar.error().message;
  };
  GrammarBuilder states(limits);
  EXPECT_THAT(message(states, states.text(std::string(200, 'a'))), HasSubstr("more than 100 states"));
  GrammarBuilder repeats(limits);
  EXPECT_THAT(message(repeats, repeats.repeat(repeats.text("a"), 0, UINT64_MAX - 1)),
              HasSubstr("more than 100 states"));
  GrammarBuilder edges(limits);
  EXPECT_THAT(message(edges, edges.repeat(edges.choice(std::vector<Expression>(50, edges.bytes('a', 'b'))), 20, 20)),
              HasSubstr("more than 100 states"));
  GrammarBuilder deep(limits);
  Expression nested = deep.text("a");
  for (int i = 0; i < 20; ++i) nested = deep.sequence({nested, nested});
  EXPECT_THAT(message(deep, nested), HasSubstr("deeper than 10 levels"));
  GrammarBuilder rules(limits);
  for (int i = 0; i < 9; ++i) static_cast<void>(rules.as_rule("r", rules.text("a")));
  EXPECT_THAT(message(rules, rules.text("a")), HasSubstr("more than 5 rules"));
}

}  // namespace
}  // namespace nibble
