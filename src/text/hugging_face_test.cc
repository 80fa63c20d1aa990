// tokenizer.json and its companions: what is read is written again and means the same; what is wrong is refused by
// name.
#include "text/hugging_face.h"

#include <gmock/gmock.h>

#include "text/tokenizer_test_support.h"

namespace nibble {
namespace {

using testing::HasSubstr;

/// A tokenizer.json around a small vocabulary; `parts` are further members, each with a comma in front.
std::string document(const std::string& parts = "") {
  return R"({"model":{"type":"BPE","vocab":{"<s>":0,"h":1,"e":2,"l":3,"o":4,"he":5,"ll":6,"hell":7,"Ġ":8,"▁":9},)"
         R"("merges":["h e","l l","he ll"]})" +
         parts + "}";
}

std::shared_ptr<const Tokenizer> read(const std::string& json, const std::string& config = "") {
  return must_create(from_hugging_face({json, config, {}, {}}, "test"));
}

std::string error_of(const std::string& json, const std::string& config = "") {
  const auto spec = from_hugging_face({json, config, {}, {}}, "test");
  if (!spec.ok()) return spec.error().message;
  const auto tokenizer = Tokenizer::create(*spec);
  return tokenizer.ok() ? "accepted" : tokenizer.error().message;
}

std::vector<std::int32_t> ids_of(const Tokenizer& tokenizer, const std::string& text) {
  return tokenizer.encode(text).value();
}

using Ids = std::vector<std::int32_t>;

TEST(HuggingFace, MergesByRank) {
  EXPECT_EQ(ids_of(*read(document()), "hello"), (Ids{7, 4}));
  EXPECT_EQ(read(document())->decode(Ids{7, 4}), "hell o") << "without a decoder tokens stand apart";
}

TEST(HuggingFace, StepsRunInTheirOrder) {
  const auto tokenizer =
      read(document(R"(,"normalizer":{"type":"Sequence","normalizers":[{"type":"Lowercase"},)"
                    R"({"type":"Replace","pattern":{"Regex":"x+"},"content":"he"}]},)"
                    R"("pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},)"
                    R"({"type":"Split","pattern":{"String":"ll"},"behavior":"Isolated"}]})"));
  EXPECT_EQ(ids_of(*tokenizer, "HELLO xxxLL"), (Ids{5, 6, 4, 5, 6}));
}

TEST(HuggingFace, SplitBehaviors) {
  const auto pieces = [](const std::string& behavior) {
    const auto tokenizer = read(
        document(R"(,"pre_tokenizer":{"type":"Split","pattern":{"String":"l"},"behavior":")" + behavior + R"("})"));
    return ids_of(*tokenizer, "hellhe");
  };
  EXPECT_EQ(pieces("Removed"), (Ids{5, 5}));
  EXPECT_EQ(pieces("Isolated"), (Ids{5, 3, 3, 5}));
  EXPECT_EQ(pieces("MergedWithPrevious"), (Ids{5, 3, 3, 5}));
  EXPECT_EQ(pieces("MergedWithNext"), (Ids{5, 3, 3, 5}));
  EXPECT_EQ(pieces("Contiguous"), (Ids{5, 6, 5}));
}

TEST(HuggingFace, MetaspacePrependsWhereItsSchemeSays) {
  const auto ids = [](const std::string& scheme) {
    const auto tokenizer = read(document(R"(,"added_tokens":[{"id":0,"content":"<s>","special":true}],)"
                                         R"("pre_tokenizer":{"type":"Metaspace","prepend_scheme":")" +
                                         scheme + R"("})"));
    return ids_of(*tokenizer, "he<s>he");
  };
  EXPECT_EQ(ids("always"), (Ids{9, 5, 0, 9, 5}));
  EXPECT_EQ(ids("first"), (Ids{9, 5, 0, 5}));
  EXPECT_EQ(ids("never"), (Ids{5, 0, 5}));
}

TEST(HuggingFace, ConfigSaysWhatIsAddedAround) {
  const std::string json = document(R"(,"added_tokens":[{"id":0,"content":"<s>","special":true}])");
  EXPECT_EQ(ids_of(*read(json, R"({"bos_token":"<s>"})"), "he"), (Ids{5}));
  EXPECT_EQ(ids_of(*read(json, R"({"bos_token":{"content":"<s>"},"add_bos_token":true})"), "he"), (Ids{0, 5}));
}

/// Two vocabularies written and read again give the same ids on everything.
TEST(HuggingFace, WrittenFilesMeanTheSame) {
  for (const GgufVocab& vocab : {byte_level_vocab("gpt-4o"), sentencepiece_vocab(true)}) {
    const auto original = tokenizer_of(vocab);
    const auto documents = to_hugging_face(original->spec());
    const auto copy = read(documents.value().tokenizer.dump(), documents->tokenizer_config.dump());
    for (const LongText& text : long_texts()) {
      const std::string valid = repair_utf8(text.text.substr(0, 2000));
      EXPECT_EQ(ids_of(*original, valid), ids_of(*copy, valid)) << text.name;
    }
  }
}

TEST(HuggingFace, WhatIsWrongIsNamed) {
  EXPECT_THAT(error_of("{"), HasSubstr("test/tokenizer.json"));
  EXPECT_THAT(error_of("{}"), HasSubstr("no object \"model\""));
  EXPECT_THAT(error_of(R"({"model":{"type":"WordPiece","vocab":{}}})"), HasSubstr("\"WordPiece\" is not supported"));
  EXPECT_THAT(error_of(R"({"model":{"type":"Unigram","vocab":[]}})"), HasSubstr("\"Unigram\" is not supported"));
  EXPECT_THAT(error_of(R"({"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}})"), HasSubstr("\"b\" is not in"));
  EXPECT_THAT(error_of(R"({"model":{"type":"BPE","vocab":{"a":4000000},"merges":[]}})"), HasSubstr("expected an id"));
  EXPECT_THAT(error_of(R"({"model":{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}})"), HasSubstr("both have the id"));
  EXPECT_THAT(error_of(document(R"(,"normalizer":{"type":"Nmt"})")), HasSubstr("\"Nmt\" is not supported"));
  EXPECT_THAT(error_of(document(R"(,"pre_tokenizer":{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated"})")),
              HasSubstr("is not understood"));
  EXPECT_THAT(
      error_of(document(R"(,"pre_tokenizer":{"type":"Split","pattern":{"Regex":"[a[b]]"},"behavior":"Isolated"})")),
      HasSubstr("a character class inside a character class"));
  EXPECT_THAT(error_of(document(R"(,"decoder":{"type":"CTC"})")), HasSubstr("\"CTC\" is not supported"));
  EXPECT_THAT(error_of(document(R"(,"added_tokens":[{"id":99999,"content":"x"}])")), HasSubstr("large gaps"));
  EXPECT_THAT(error_of(document(), R"({"add_bos_token":3})"), HasSubstr("add_bos_token"));
}

}  // namespace
}  // namespace nibble
