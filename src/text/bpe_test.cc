// Both kinds of byte-pair encoding against their definitions, step by step, on random vocabularies; pieces are shorter
// and longer than where the scan gives way to the heap.
#include "text/bpe.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "text/tokenizer_test_support.h"

namespace nibble {
namespace {

std::string random_word(std::mt19937& random, std::size_t longest) {
  std::string out(1 + random() % longest, 'a');
  for (char& c : out) c = "abc"[random() % 3];
  return out;
}

/// Tokens a, b, c and `count` more, each made of two that came before.
TokenizerSpec random_spec(std::mt19937& random, std::size_t count) {
  TokenizerSpec spec;
  spec.what = "test";
  for (const char* letter : {"a", "b", "c"}) spec.tokens.push_back({letter, 0, TokenType::kNormal});
  while (spec.tokens.size() < 3 + count) {
    const auto left = static_cast<std::int32_t>(random() % spec.tokens.size());
    const auto right = static_cast<std::int32_t>(random() % spec.tokens.size());
    const std::string text =
        spec.tokens[static_cast<std::size_t>(left)].text + spec.tokens[static_cast<std::size_t>(right)].text;
    spec.merges.push_back({left, right});
    const bool is_new =
        std::none_of(spec.tokens.begin(), spec.tokens.end(), [&](const auto& t) { return t.text == text; });
    if (is_new) spec.tokens.push_back({text, 0, TokenType::kNormal});
  }
  return spec;
}

/// Merges, again and again, the pair that comes first by order(left, right); the leftmost among equals.
template <typename Order>
std::vector<std::string> merge_by_definition(std::vector<std::string> symbols, Order order) {
  while (true) {
    double best = std::numeric_limits<double>::infinity();
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const double value = order(symbols[i], symbols[i + 1]);
      if (value < best) best = value, at = i;
    }
    if (best == std::numeric_limits<double>::infinity()) return symbols;
    symbols[at] += symbols[at + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

std::vector<std::string> letters_of(const std::string& text) {
  std::vector<std::string> out;
  for (char c : text) out.emplace_back(1, c);
  return out;
}

std::vector<std::string> texts_of(const Tokenizer& tokenizer, const std::string& text) {
  std::vector<std::string> out;
  const std::vector<std::int32_t> ids = tokenizer.encode(text).value();
  for (const std::int32_t id : ids) out.push_back(tokenizer.token_text(id));
  return out;
}

TEST(Bpe, MergesByRankFollowTheDefinition) {
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    const TokenizerSpec spec = random_spec(random, 1 + random() % 30);
    const auto tokenizer = must_create(spec);
    const auto rank = [&](const std::string& left, const std::string& right) {
      for (std::size_t i = 0; i < spec.merges.size(); ++i)
        if (spec.tokens[static_cast<std::size_t>(spec.merges[i].left)].text == left &&
            spec.tokens[static_cast<std::size_t>(spec.merges[i].right)].text == right)
          return static_cast<double>(i);
      return std::numeric_limits<double>::infinity();
    };
    const std::string text = random_word(random, 120);
    EXPECT_EQ(texts_of(*tokenizer, text), merge_by_definition(letters_of(text), rank)) << text;
  }
}

TEST(Bpe, MergesByScoreFollowTheDefinition) {
  std::mt19937 random(12);
  for (int round = 0; round < 300; ++round) {
    TokenizerSpec spec = random_spec(random, 1 + random() % 30);
    spec.model = TokenizerModel::kScoreBpe;
    for (TokenEntry& token : spec.tokens) token.score = static_cast<float>(static_cast<int>(random() % 9) - 4);
    const auto tokenizer = must_create(spec);
    const auto order = [&](const std::string& left, const std::string& right) {
      for (const TokenEntry& token : spec.tokens)
        if (token.text == left + right) return -static_cast<double>(token.score);
      return std::numeric_limits<double>::infinity();
    };
    const std::string text = random_word(random, 120);
    EXPECT_EQ(texts_of(*tokenizer, text), merge_by_definition(letters_of(text), order)) << text;
  }
}

/// A byte without a token: llama.cpp drops it after merging, Hugging Face before.
TEST(Bpe, DroppedBytesSeparateInGgufOnly) {
  GgufVocab vocab = byte_level_vocab("gpt-2");
  const auto bell = std::find(vocab.tokens.begin(), vocab.tokens.end(), to_byte_alphabet("\x07"));
  *bell = "unused";
  const auto from_file = tokenizer_of(vocab);
  TokenizerSpec spec = from_file->spec();
  spec.dropped_separates = false;
  const auto from_folder = must_create(spec);
  for (const std::string& bells : {std::string("\x07"), std::string(60, '\x07')}) {  // scanned, and in the heap
    EXPECT_EQ(texts_of(*from_file, "!" + bells + "!"), (std::vector<std::string>{"!", "!"}));
    EXPECT_EQ(texts_of(*from_folder, "!" + bells + "!"), std::vector<std::string>{"!!"});
  }
}

}  // namespace
}  // namespace nibble
