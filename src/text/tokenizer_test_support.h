// What the tests of tokenizers share: small vocabularies made in memory, and long texts that a careless algorithm needs
// quadratic time for.
#pragma once

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/cpu_time.h"
#include "base/testing/costs.h"
#include "base/utf8.h"
#include "text/byte_alphabet.h"
#include "text/gguf_vocab.h"
#include "text/replace_every.h"
#include "text/tokenizer.h"

namespace nibble {

/// The length of the long texts; sanitizers are slow, and the bound on time is for a normal build.
inline constexpr std::size_t kLongTextBytes = std::size_t{1} << (NIBBLE_SANITIZED ? 15 : 20);
inline constexpr double kLongTextSeconds = 2;  ///< processor time that a long text should take at most

/// Texts from which tokens are made: each is doubled a few times.
inline const std::vector<std::string>& repeated_parts() {
  static const std::vector<std::string> parts = {"a",
                                                 "A",
                                                 " ",
                                                 "\n",
                                                 "\r\n",
                                                 "7",
                                                 "!",
                                                 "\xE4\xB8\x96",
                                                 "e\xCC\x81",
                                                 "\xCC\x81",
                                                 "\xEF\xBF\xBD",
                                                 "\xF0\x9F\x91\xA8",
                                                 "\xE2\x80\x8D"};
  return parts;
}

/// A byte-level vocabulary: the bytes; merges that double each repeated part up to 32 times; two special tokens.
inline GgufVocab byte_level_vocab(std::string pre) {
  GgufVocab vocab;
  vocab.model = "gpt2";
  vocab.pre = std::move(pre);
  for (unsigned byte = 0; byte < 256; ++byte) {
    vocab.tokens.emplace_back();
    append_utf8(vocab.tokens.back(), byte_to_alphabet(static_cast<std::uint8_t>(byte)));
  }
  std::vector<std::string> known = vocab.tokens;
  const auto merge = [&](const std::string& left, const std::string& right) {
    if (std::find(known.begin(), known.end(), left + right) != known.end()) return;
    vocab.merges.push_back(left + " " + right);
    vocab.tokens.push_back(left + right);
    known.push_back(left + right);
  };
  for (const std::string& part : repeated_parts()) {
    std::string made = to_byte_alphabet(part.substr(0, 1));
    for (char c : part.substr(1)) {
      const std::string next = to_byte_alphabet({&c, 1});
      merge(made, next);
      made += next;
    }
    for (int doubled = 0; doubled < 5; ++doubled, made += made) merge(made, made);
  }
  vocab.token_types.assign(vocab.tokens.size(), 1);
  for (const char* special : {"<|begin|>", "<|im_end|>"}) {
    vocab.tokens.emplace_back(special);
    vocab.token_types.push_back(3);
  }
  vocab.special.bos = static_cast<std::int32_t>(vocab.tokens.size() - 2);
  vocab.special.eos = static_cast<std::int32_t>(vocab.tokens.size() - 1);
  return vocab;
}

/// A SentencePiece vocabulary: bytes, and each repeated part doubled up to 32 times, shorter ones with higher scores.
/// With `across_words` one token has a space mark in its middle, so that texts cannot be merged word by word.
inline GgufVocab sentencepiece_vocab(bool across_words) {
  GgufVocab vocab;
  vocab.model = "llama";
  vocab.tokens = {"<unk>", "<s>", "</s>"};
  vocab.token_types = {2, 3, 3};
  for (unsigned byte = 0; byte < 256; ++byte) {
    vocab.tokens.push_back(fmt::format("<0x{:02X}>", byte));
    vocab.token_types.push_back(6);
  }
  vocab.scores.assign(vocab.tokens.size(), 0.0F);
  const auto add = [&](const std::string& text) {
    if (std::find(vocab.tokens.begin(), vocab.tokens.end(), text) != vocab.tokens.end()) return;
    vocab.tokens.push_back(text);
    vocab.token_types.push_back(1);
    vocab.scores.push_back(-static_cast<float>(vocab.tokens.size()));
  };
  for (const std::string& part : repeated_parts()) {
    std::string made = part == " " ? std::string(kSpaceMark) : part;
    // Single characters too: merges by rank, in tokenizer.json, join tokens only.
    for (std::size_t at = 0; at < made.size(); at += utf8_at(made, at).bytes)
      add(made.substr(at, utf8_at(made, at).bytes));
    for (int doubled = 0; doubled < 6; ++doubled, made += made) add(made);
  }
  if (across_words) add("a" + std::string(kSpaceMark));
  return vocab;
}

inline std::shared_ptr<const Tokenizer> must_create(Result<TokenizerSpec> spec) {
  if (!spec.ok()) {
    ADD_FAILURE() << spec.error().message;
    return nullptr;
  }
  auto tokenizer = Tokenizer::create(std::move(spec).value());
  if (!tokenizer.ok()) {
    ADD_FAILURE() << tokenizer.error().message;
    return nullptr;
  }
  return *tokenizer;
}

inline std::shared_ptr<const Tokenizer> tokenizer_of(GgufVocab vocab, const std::string& what = "test") {
  return must_create(from_gguf(std::move(vocab), what));
}

struct LongText {
  std::string name;
  std::string text;
};

inline std::string repeated(std::string_view part, std::size_t bytes = kLongTextBytes) {
  std::string out;
  out.reserve(bytes + part.size());
  while (out.size() < bytes) out += part;
  return out;
}

inline std::string random_bytes(std::size_t bytes, unsigned seed) {
  std::mt19937 random(seed);
  std::string out(bytes, '\0');
  for (char& c : out) c = static_cast<char>(random() & 0xFF);
  return out;
}

inline const std::vector<LongText>& long_texts() {
  static const std::vector<LongText> texts = [] {
    std::vector<LongText> out;
    const auto add = [&](const char* name, std::string_view part) { out.push_back({name, repeated(part)}); };
    add("one letter", "a");
    add("one capital letter", "A");
    add("spaces", " ");
    add("newlines", "\n");
    add("line ends", "\r\n");
    add("tabs and spaces", "\t ");
    add("wide spaces", "\xE3\x80\x80");
    add("digits", "7");
    add("punctuation", "!");
    add("apostrophes", "'");
    add("short words", "a ");
    add("words in capitals and small", "Aa");
    add("CJK", "\xE4\xB8\x96");
    add("combining marks", "\xCC\x81");
    add("combining marks of two classes", "\xCC\x81\xCC\xA3");
    add("letters with marks", "e\xCC\x81");
    add("emoji joined", "\xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7");
    add("bytes that never occur", "\xFF");
    add("continuation bytes", "\x80");
    add("lead bytes", "\xE4");
    add("unfinished characters", "\xF0\x9F\x91");
    add("the beginning of a special token", "<|im_end|");
    add("special tokens", "<|im_end|>");
    out.push_back({"random bytes", random_bytes(kLongTextBytes, 1)});
    out.push_back({"spaces, then a letter", repeated(" ") + "a"});
    out.push_back({"a line end, then spaces", "\n" + repeated(" ")});
    return out;
  }();
  return texts;
}

/// Every long text takes about kLongTextSeconds at most, each way.
inline void expect_linear_time(const Tokenizer& tokenizer) {
  for (const LongText& long_text : long_texts()) {
    const double started = thread_cpu_seconds();
    const auto ids = tokenizer.encode(long_text.text);
    const double encoded = thread_cpu_seconds();
    ASSERT_TRUE(ids.ok()) << long_text.name << ": " << ids.error().message;
    const std::string text = tokenizer.decode(*ids);
    const double decoded = thread_cpu_seconds();
    EXPECT_LT(encoded - started, kLongTextSeconds * kPatience) << "tokenizing " << long_text.name;
    EXPECT_LT(decoded - encoded, kLongTextSeconds * kPatience) << "detokenizing " << long_text.name;
    EXPECT_TRUE(is_utf8(text)) << long_text.name;
  }
}

}  // namespace nibble
