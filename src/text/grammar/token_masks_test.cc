// Masks say exactly what accept() takes, in every state, for vocabularies with whole words and broken characters.
#include "text/grammar/token_masks.h"

#include <gmock/gmock.h>

#include <random>
#include <thread>

#include "text/grammar/grammar_test_support.h"
#include "text/tokenizer_test_support.h"

namespace nibble {
namespace {

using ::testing::HasSubstr;

/// Bytes, pieces of JSON over several of its parts, characters and their halves; two ends of generation.
std::shared_ptr<const TokenTrie> toy_trie() {
  static const auto trie = [] {
    std::vector<std::string> pieces;
    for (int byte = 0; byte < 256; ++byte) pieces.emplace_back(1, static_cast<char>(byte));
    for (const char* text : {"{\"",
                             "\":",
                             "\": ",
                             "\": \"",
                             "\",",
                             "\", \"",
                             "\"}",
                             "\"}}",
                             "}}",
                             "}]",
                             "]]",
                             "]]]]]]",
                             "[[",
                             "[[[[[[",
                             "[]",
                             "{}",
                             "[{",
                             "}, {",
                             "{\"a\":{\"a\":",
                             "true",
                             "tru",
                             "false",
                             "null",
                             "null}",
                             "12",
                             "123",
                             "1,",
                             "0.5",
                             "e+",
                             "-1",
                             "the",
                             " the",
                             "hello world",
                             "a",
                             "ab",
                             "abc",
                             "abcdef",
                             "\\n",
                             "\\u00",
                             "\\\"",
                             "\xC3\xA9",
                             "\xE4\xB8",
                             "\x96\xE7",
                             "\xF0\x9F\x98\x80",
                             "\x9F\x98",
                             "x\xC3",
                             "\xA9\"",
                             "\n  ",
                             "   ",
                             "<tool_call>",
                             "a",
                             "2024-",
                             "-0",
                             ":0",
                             "\"\""})
      pieces.emplace_back(text);
    pieces.emplace_back();  // a special token
    pieces.emplace_back("<end>");
    pieces.emplace_back("<eot>");
    const auto count = static_cast<std::int32_t>(pieces.size());
    return TokenTrie::of_pieces(std::move(pieces), {count - 2, count - 1});
  }();
  return trie;
}

const char* const kSchemas[] = {
    R"({})",
    R"({"type": "object"})",
    R"({"type": "string"})",
    R"({"type": "string", "maxLength": 6, "minLength": 2})",
    R"({"type": "array", "items": {"type": "array", "items": {"type": "number"}, "maxItems": 3}, "minItems": 1})",
    R"({"properties": {"a": {"type": "integer"}, "ab": {"type": "string"}, "abc": {}}, "required": ["ab"]})",
    R"({"properties": {"a": {"type": "null"}}, "additionalProperties": {"type": "boolean"}})",
    R"({"anyOf": [{"properties": {"a": {"enum": ["the", "then"]}}}, {"properties": {"a": {"pattern": "^t[a-h\u00e9]+e?$"}, "b": {}}}]})",
    R"({"$defs": {"t": {"anyOf": [{"properties": {"a": {"$ref": "#/$defs/t"}}}, {"type": "array", "items": {"$ref": "#/$defs/t"}}]}}, "$ref": "#/$defs/t"})",
    R"({"format": "date-time"})",
    R"({"type": "integer", "minimum": -123, "maximum": 4567})",
    R"({"pattern": "^(a|ab|abc|\\n|\"|[^x])*(12|123)?$"})",
};

void expect_exact(GrammarState& state, std::span<const std::uint64_t> bitmask) {
  const auto trie = toy_trie();
  for (std::int32_t id = 0; id < static_cast<std::int32_t>(trie->vocab_size()); ++id) {
    GrammarState copy = state;
    ASSERT_EQ(has_token(bitmask, id), copy.accept(id).ok()) << id << " \"" << trie->piece(id) << "\"";
  }
}

TEST(TokenMasks, SayExactlyWhatIsAccepted) {
  std::mt19937 random(7);
  for (const char* schema : kSchemas) {
    const auto grammar = grammar_of(schema);
    ASSERT_TRUE(grammar.ok()) << grammar.error().message;
    const auto matcher = std::make_shared<GrammarMatcher>(*grammar, toy_trie());
    for (int walk = 0; walk < 12; ++walk) {
      GrammarState state(matcher);
      std::string text;
      for (int step = 0; step < 25 && !state.finished(); ++step) {
        auto bitmask = bitmask_for(*toy_trie());
        ASSERT_TRUE(state.allowed(bitmask).ok()) << schema << "\n" << text;
        ASSERT_NO_FATAL_FAILURE(expect_exact(state, bitmask)) << schema << "\n" << text;
        const auto tokens = tokens_of(bitmask);
        const std::int32_t token = tokens[random() % tokens.size()];
        text += toy_trie()->piece(token);
        ASSERT_TRUE(state.accept(token).ok());
      }
    }
  }
}

TEST(TokenMasks, StayExactWhereNestingReachesItsLimit) {
  std::mt19937 random(9);
  SchemaLimits limits;
  limits.grammar.max_stack_depth = 7;
  for (const char* schema : {kSchemas[0], kSchemas[8]}) {
    const auto grammar = grammar_of(schema, limits);
    ASSERT_TRUE(grammar.ok());
    std::size_t deepest = 0;
    for (int walk = 0; walk < 20; ++walk) {
      GrammarState state = start_of(*grammar, toy_trie());
      for (int step = 0; step < 30 && !state.finished(); ++step) {
        auto bitmask = bitmask_for(*toy_trie());
        ASSERT_TRUE(state.allowed(bitmask).ok());
        ASSERT_NO_FATAL_FAILURE(expect_exact(state, bitmask));
        auto tokens = tokens_of(bitmask);
        const auto opens = std::find_if(tokens.begin(), tokens.end(), [](std::int32_t token) {
          return token == '[' || toy_trie()->piece(token) == "[[" || toy_trie()->piece(token) == "{\"a\":{\"a\":";
        });
        const std::int32_t token = opens != tokens.end() && step % 4 != 3 ? *opens : tokens[random() % tokens.size()];
        ASSERT_TRUE(state.accept(token).ok());
        deepest = std::max<std::size_t>(deepest, state.depth());
        ASSERT_LE(state.depth(), 7u);
      }
    }
    EXPECT_EQ(deepest, 7u) << schema;
  }
}

TEST(TokenMasks, JsonObjectStaysWithinTheParsersDepth) {
  const auto grammar = json_object_grammar();
  ASSERT_TRUE(grammar.ok());
  GrammarState state = start_of(*grammar);
  std::string text;
  const auto take = [&](std::string_view bytes) {
    GrammarState next = state;
    if (!next.accept_bytes(bytes).ok()) return false;
    state = next;
    text += bytes;
    return true;
  };
  ASSERT_TRUE(take("{\"a\":"));
  int depth = 1;
  while (take(depth % 2 == 0 ? "{\"a\":" : "[")) ++depth;
  EXPECT_GT(depth, 55);
  ASSERT_TRUE(take("1"));
  while (!state.may_end()) ASSERT_TRUE(take("}") || take("]"));
  EXPECT_TRUE(parse_untrusted(text, "text").ok()) << depth;
}

TEST(TokenMasks, EndsOfGenerationWaitForTheEnd) {
  const auto grammar = grammar_of(R"({"type": "array", "items": {"type": "integer"}})");
  ASSERT_TRUE(grammar.ok());
  const auto trie = toy_trie();
  const std::int32_t end = trie->end_of_generation()[0];
  const std::int32_t special = end - 1;
  GrammarState state = start_of(*grammar, trie);
  auto bitmask = bitmask_for(*trie);
  for (const char c : std::string("[1]")) {
    ASSERT_TRUE(state.allowed(bitmask).ok());
    EXPECT_FALSE(has_token(bitmask, end));
    EXPECT_FALSE(has_token(bitmask, special));
    EXPECT_FALSE(state.accept(end).ok());
    EXPECT_FALSE(state.accept(special).ok());
    EXPECT_FALSE(state.accept(-1).ok());
    EXPECT_FALSE(state.accept(1 << 30).ok());
    ASSERT_TRUE(state.accept(static_cast<unsigned char>(c)).ok());
  }
  EXPECT_TRUE(state.may_end());
  EXPECT_TRUE(state.must_end());
  ASSERT_TRUE(state.allowed(bitmask).ok());
  EXPECT_THAT(tokens_of(bitmask), ::testing::ElementsAreArray(trie->end_of_generation()));
  ASSERT_TRUE(state.accept(end).ok());
  EXPECT_TRUE(state.finished());
  EXPECT_FALSE(state.accept(end).ok());
  EXPECT_FALSE(state.accept('1').ok());
}

TEST(TokenMasks, FailuresLeaveTheStateAsItWas) {
  const auto grammar = grammar_of(R"({"const": "abc"})");
  ASSERT_TRUE(grammar.ok());
  GrammarState state = start_of(*grammar);
  ASSERT_TRUE(state.accept_bytes("\"a").ok());
  EXPECT_FALSE(state.accept_bytes("bx").ok());
  EXPECT_TRUE(state.accept_bytes("bc\"").ok());
  EXPECT_TRUE(state.may_end());
}

TEST(TokenMasks, AVocabularyThatLacksBytesIsAnError) {
  const auto grammar = grammar_of(R"({"const": "abc"})");
  ASSERT_TRUE(grammar.ok());
  GrammarState state = start_of(*grammar, TokenTrie::of_pieces({"\"a", "c\"", ""}, {2}));
  std::vector<std::uint64_t> bitmask(1);
  ASSERT_TRUE(state.allowed(bitmask).ok());
  EXPECT_EQ(bitmask[0], 1u);
  ASSERT_TRUE(state.accept(0).ok());
  const Status stuck = state.allowed(bitmask);
  ASSERT_FALSE(stuck.ok());
  EXPECT_THAT(stuck.error().message, HasSubstr("no token of the vocabulary"));
}

TEST(TokenMasks, LongTokensAndDuplicatesAndWideBitmasks) {
  std::vector<std::string> pieces = {std::string(255, 'a'), std::string(256, 'a'), "a", "a", "aa", ""};
  const auto trie = TokenTrie::of_pieces(pieces, {5, 99, -1});
  GrammarBuilder builder;
  const auto root = builder.declare("root");
  builder.define(root, builder.repeat(builder.text("a"), 0, {}));
  GrammarState state = start_of(*builder.build(root), trie);
  std::vector<std::uint64_t> bitmask(3, UINT64_MAX);
  ASSERT_TRUE(state.allowed(bitmask).ok());
  EXPECT_EQ(bitmask, (std::vector<std::uint64_t>{0b111101, 0, 0}));
}

/// What was found out for other texts, in whatever order, does not change a mask.
TEST(TokenMasks, DoNotDependOnWhatWasAskedBefore) {
  const auto grammar = grammar_of(kSchemas[7]);
  ASSERT_TRUE(grammar.ok());
  const auto shared = std::make_shared<GrammarMatcher>(*grammar, toy_trie());
  const auto walk = [&](std::shared_ptr<GrammarMatcher> matcher, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<std::vector<std::uint64_t>> masks;
    GrammarState state(std::move(matcher));
    for (int step = 0; step < 30 && !state.finished(); ++step) {
      masks.push_back(bitmask_for(*toy_trie()));
      if (!state.allowed(masks.back()).ok()) break;
      const auto tokens = tokens_of(masks.back());
      if (!state.accept(tokens[random() % tokens.size()]).ok()) break;
    }
    return masks;
  };
  std::vector<std::vector<std::vector<std::uint64_t>>> results(8);
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < results.size(); ++seed)
    threads.emplace_back([&, seed] { results[seed] = walk(shared, seed); });
  for (std::thread& thread : threads) thread.join();
  for (unsigned seed = 0; seed < results.size(); ++seed)
    EXPECT_EQ(results[seed], walk(std::make_shared<GrammarMatcher>(*grammar, toy_trie()), seed));
}

/// A pattern whose ways multiply: memory and time are bounded whatever the texts.
TEST(TokenMasks, AmbiguousPatternsStayWithinTheirBounds) {
  const auto grammar = grammar_of(R"({"pattern": "^(a|b|ab|abc)*a[ab]{900}$"})");
  ASSERT_TRUE(grammar.ok()) << grammar.error().message;
  const auto matcher = std::make_shared<GrammarMatcher>(*grammar, toy_trie());
  std::mt19937 random(3);
  GrammarState state(matcher);
  ASSERT_TRUE(state.accept_bytes("\"").ok());
  auto bitmask = bitmask_for(*toy_trie());
  const double start = thread_cpu_seconds();
  for (int step = 0; step < 400; ++step) {
    if (!state.allowed(bitmask).ok() || !state.accept(random() % 2 == 0 ? 'a' : 'b').ok()) break;
    ASSERT_LE(matcher->memory_bytes(), GrammarMatcher::kMaxBytes + (std::size_t{1} << 20));
  }
  EXPECT_LT(thread_cpu_seconds() - start, 3 * kPatience);
}

TEST(TokenTrie, LeavesOutWhatIsNotText) {
  GgufVocab vocab = byte_level_vocab("gpt-2");
  vocab.tokens.emplace_back("<tool_call>");
  vocab.token_types.push_back(3);
  auto spec = from_gguf(std::move(vocab), "test");
  ASSERT_TRUE(spec.ok());
  const auto tokenizer = Tokenizer::create(std::move(*spec));
  ASSERT_TRUE(tokenizer.ok());
  const auto id_of = [&](std::string_view text) { return (*tokenizer)->token_to_id(text).value(); };
  const auto plain = TokenTrie::of(**tokenizer);
  EXPECT_EQ(plain->piece(id_of("<|begin|>")), "");
  EXPECT_EQ(plain->piece(id_of("<|im_end|>")), "");
  EXPECT_EQ(plain->piece(id_of("<tool_call>")), "");
  EXPECT_TRUE(plain->is_end_of_generation(id_of("<|im_end|>")));
  EXPECT_EQ(plain->piece(id_of("\xC4\xA0")), " ");
  const std::vector<std::string> visible = {"<tool_call>", "unknown"};
  const auto with_calls = TokenTrie::of(**tokenizer, visible);
  EXPECT_EQ(with_calls->piece(id_of("<tool_call>")), "<tool_call>");
  EXPECT_EQ(with_calls->piece(id_of("<|im_end|>")), "");
}

}  // namespace
}  // namespace nibble
