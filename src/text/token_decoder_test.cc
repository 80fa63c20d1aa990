// Streaming: no piece holds part of a character, and the pieces joined are the text.
#include <sstream>

#include "text/hugging_face.h"
#include "text/tokenizer_test_support.h"

namespace nibble {
namespace {

std::vector<std::int32_t> random_ids(const Tokenizer& tokenizer, std::mt19937& random) {
  std::vector<std::int32_t> ids(random() % 40);
  // Some ids are out of range: they count as nothing.
  for (std::int32_t& id : ids)
    id = static_cast<std::int32_t>(random() % static_cast<unsigned>(tokenizer.vocab_size() + 3)) - 1;
  return ids;
}

/// Ids whose bytes are often those of characters, cut anywhere.
std::vector<std::int32_t> ids_of_broken_text(const Tokenizer& tokenizer, std::mt19937& random) {
  std::string text;
  for (int i = 0; i < 8; ++i) append_utf8(text, static_cast<char32_t>(random() % 0x3000 * (1 + random() % 20)));
  text.erase(random() % text.size(), 1 + random() % 2);
  std::vector<std::int32_t> ids;
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    std::string character;
    append_utf8(character, byte_to_alphabet(byte));
    const auto id = tokenizer.token_to_id(character);
    const auto fallback = tokenizer.token_to_id(fmt::format("<0x{:02X}>", byte));
    ids.push_back(fallback ? *fallback : *id);
  }
  return ids;
}

struct Streamed {
  std::string joined;
  bool all_valid = true;
};

Streamed stream(const std::shared_ptr<const Tokenizer>& tokenizer, const std::vector<std::int32_t>& ids,
                TokenDecoder::Options options) {
  TokenDecoder decoder(tokenizer, options);
  Streamed out;
  for (const std::int32_t id : ids) {
    const std::string piece = decoder.feed(id);
    out.all_valid = out.all_valid && is_utf8(piece);
    out.joined += piece;
  }
  const std::string rest = decoder.finish();
  out.all_valid = out.all_valid && is_utf8(rest);
  out.joined += rest;
  return out;
}

std::shared_ptr<const Tokenizer> through_tokenizer_json(GgufVocab vocab) {
  const auto spec = from_gguf(std::move(vocab), "test");
  const auto documents = to_hugging_face(spec.value());
  const std::string json = documents.value().tokenizer.dump();
  return must_create(from_hugging_face({json, {}, {}, {}}, "test"));
}

struct Case {
  const char* name;
  std::shared_ptr<const Tokenizer> (*make)();
  bool replaces_per_byte;  ///< the whole-text decoder writes one U+FFFD per byte of a broken run (ByteFallback)
};

class Streaming : public testing::TestWithParam<Case> {};

TEST_P(Streaming, PiecesAreWholeCharactersAndJoinToTheText) {
  const auto tokenizer = GetParam().make();
  std::mt19937 random(3);
  for (int round = 0; round < 4000; ++round) {
    const std::vector<std::int32_t> ids =
        round % 2 == 0 ? random_ids(*tokenizer, random) : ids_of_broken_text(*tokenizer, random);
    for (const bool skip : {true, false}) {
      const Streamed streamed = stream(tokenizer, ids, {skip, /*at_start=*/true});
      const std::string whole = tokenizer->decode(ids, {skip});
      ASSERT_TRUE(streamed.all_valid) << testing::PrintToString(ids);
      if (GetParam().replaces_per_byte && whole.find("\xEF\xBF\xBD") != std::string::npos) continue;
      ASSERT_EQ(streamed.joined, whole) << testing::PrintToString(ids);
    }
  }
}

/// In the middle of a text nothing is stripped: the stream is the bytes of the pieces.
TEST_P(Streaming, MiddleOfTextIsThePiecesBytes) {
  const auto tokenizer = GetParam().make();
  std::mt19937 random(4);
  for (int round = 0; round < 2000; ++round) {
    const std::vector<std::int32_t> ids = ids_of_broken_text(*tokenizer, random);
    std::string bytes;
    for (const std::int32_t id : ids) bytes += tokenizer->piece(id);
    ASSERT_EQ(stream(tokenizer, ids, {false, false}).joined, replace_malformed_utf8(bytes));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, Streaming,
    testing::Values(Case{"ByteLevel", [] { return tokenizer_of(byte_level_vocab("smollm")); }, false},
                    Case{"SentencePiece", [] { return tokenizer_of(sentencepiece_vocab(true)); }, false},
                    Case{"ByteLevelJson", [] { return through_tokenizer_json(byte_level_vocab("smollm")); }, false},
                    Case{"SentencePieceJson", [] { return through_tokenizer_json(sentencepiece_vocab(true)); }, true}),
    [](const auto& param) { return param.param.name; });

/// What a reader of a stream sees, token by token: a character appears when its last byte has come.
TEST(TokenDecoder, HoldsBackUnfinishedCharacters) {
  const auto tokenizer = tokenizer_of(sentencepiece_vocab(false));
  const auto byte = [&](const char* name) { return *tokenizer->token_to_id(name); };
  TokenDecoder decoder(tokenizer);
  EXPECT_EQ(decoder.feed(byte("<0xE4>")), "");
  EXPECT_EQ(decoder.feed(byte("<0xB8>")), "");
  EXPECT_EQ(decoder.feed(byte("<0x96>")), "\xE4\xB8\x96");
  EXPECT_EQ(decoder.feed(byte("<0xF0>")), "");
  EXPECT_EQ(decoder.feed(byte("<0x9F>")), "");
  EXPECT_EQ(decoder.feed(*tokenizer->token_to_id("a")),
            "\xEF\xBF\xBD"
            "a");  // nothing can complete it now
  EXPECT_EQ(decoder.feed(byte("<0xC3>")), "");
  EXPECT_EQ(decoder.finish(), "\xEF\xBF\xBD");
  EXPECT_EQ(decoder.finish(), "");
}

}  // namespace
}  // namespace nibble
