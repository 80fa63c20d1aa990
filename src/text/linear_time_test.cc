// A megabyte of anything takes under two seconds of processor time, with every pre-tokenizer and every model. (The
// vocabularies of real models: tests/integration/vocabularies_test.cc.)
#include <set>

#include "text/hugging_face.h"
#include "text/pre_tokenizer.h"
#include "text/pre_tokenizer_table.h"
#include "text/tokenizer_test_support.h"

namespace nibble {
namespace {

TEST(LinearTime, ByteLevelBpe) { expect_linear_time(*tokenizer_of(byte_level_vocab("smollm"))); }

TEST(LinearTime, SentencePieceByWords) { expect_linear_time(*tokenizer_of(sentencepiece_vocab(false))); }

TEST(LinearTime, SentencePieceAcrossWords) { expect_linear_time(*tokenizer_of(sentencepiece_vocab(true))); }

/// The same as tokenizer.json: merges by rank on whole texts, byte fallback, and the decoder chain.
TEST(LinearTime, SentencePieceFromTokenizerJson) {
  const auto spec = from_gguf(sentencepiece_vocab(true), "test");
  const auto documents = to_hugging_face(spec.value());
  ASSERT_TRUE(documents.ok());
  const std::string json = documents->tokenizer.dump();
  expect_linear_time(*must_create(from_hugging_face({json, {}, {}, {}}, "test")));
}

/// Normalizers, a general regex, Metaspace, and added tokens in normalized text.
TEST(LinearTime, StepsOfTokenizerJson) {
  const std::string head = R"({"added_tokens":[{"id":300,"content":"aaaaaaab","normalized":true}],"normalizer":)";
  const std::string model = R"(,"model":{"type":"BPE","unk_token":"a","vocab":{"a":0,"b":1,"aa":2},"merges":["a a"]}})";
  for (const std::string steps :
       {R"({"type":"NFC"},"pre_tokenizer":{"type":"Digits","individual_digits":true})",
        R"({"type":"NFKD"},"pre_tokenizer":{"type":"Punctuation","behavior":"MergedWithNext"})",
        R"({"type":"Lowercase"},"pre_tokenizer":{"type":"Metaspace"})",
        R"({"type":"Strip"},"pre_tokenizer":{"type":"Whitespace"})",
        R"({"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "},"pre_tokenizer":{"type":"WhitespaceSplit"})"})
    expect_linear_time(*must_create(from_hugging_face({head + steps + model, {}, {}, {}}, "test")));
}

/// Tokens whose beginnings, ends and insides are texts that repeat: looked for anew at each place they cost 4096 steps.
TEST(LinearTime, LongAddedTokens) {
  const std::string long_token = std::string(kMaxAddedTokenBytes - 2, 'a') + "b";
  GgufVocab vocab = byte_level_vocab("gpt-2");
  for (const std::string& token : {long_token, "b" + long_token, long_token.substr(0, 4000), std::string("aab")}) {
    vocab.tokens.push_back(token);
    vocab.token_types.push_back(4);
  }
  const auto as_gguf = tokenizer_of(vocab);
  TokenizerSpec spec = as_gguf->spec();
  spec.longest_added_first = false;
  const auto as_hugging_face = must_create(std::move(spec));
  for (const auto& tokenizer : {as_gguf, as_hugging_face}) {
    for (const std::string& part : {std::string(kMaxAddedTokenBytes - 3, 'a') + "b", std::string(4095, 'a') + "c",
                                    long_token.substr(1, 4090) + "bb", std::string("aab")}) {
      const std::string text = repeated(part);
      const double started = thread_cpu_seconds();
      EXPECT_TRUE(tokenizer->encode(text).ok());
      EXPECT_LT(thread_cpu_seconds() - started, kLongTextSeconds * kPatience) << part.size();
    }
  }
}

/// Every list of patterns in the table of pre-tokenizers, once.
TEST(LinearTime, EveryPreTokenizer) {
  std::set<const std::string_view*> seen;
  for (const PreTokenizerEntry& entry : pre_tokenizer_table()) {
    if (!seen.insert(entry.patterns.data()).second) continue;
    std::vector<PreTokenizerStep> steps;
    for (std::string_view pattern : entry.patterns) {
      steps.emplace_back();
      steps.back().pattern = pattern;
    }
    const auto pre_tokenizer = PreTokenizer::build(steps, "test");
    ASSERT_TRUE(pre_tokenizer.ok()) << entry.name;
    for (const LongText& long_text : long_texts()) {
      const std::string text = repair_utf8(long_text.text);
      const double started = thread_cpu_seconds();
      const auto pieces = pre_tokenizer->apply(text, true);
      const double seconds = thread_cpu_seconds() - started;
      EXPECT_TRUE(pieces.ok()) << entry.name << ", " << long_text.name << ": " << pieces.error().message;
      EXPECT_LT(seconds, kLongTextSeconds * kPatience) << entry.name << ", " << long_text.name;
    }
  }
}

}  // namespace
}  // namespace nibble
