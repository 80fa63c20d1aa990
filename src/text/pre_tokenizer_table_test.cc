// Every name of the table splits as its models' own pre-tokenizer does: goldens of Hugging Face `tokenizers`
// (scripts/golden/make_pre_tokenizer_goldens.py). Hand-written splitters agree with the patterns they stand for.
#include "text/pre_tokenizer_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "base/json.h"
#include "base/mapped_file.h"
#include "text/pre_tokenizer.h"

namespace nibble {
namespace {

PreTokenizer pre_tokenizer_of(const PreTokenizerEntry& entry) {
  std::vector<PreTokenizerStep> steps;
  for (std::string_view pattern : entry.patterns) {
    steps.emplace_back();
    steps.back().pattern = pattern;
  }
  return PreTokenizer::build(steps, std::string(entry.name)).value();
}

std::vector<std::size_t> piece_lengths(const PreTokenizer& pre_tokenizer, const std::string& text) {
  const Pieces pieces = pre_tokenizer.apply(text, true).value();
  EXPECT_EQ(pieces.text, text);
  std::vector<std::size_t> out;
  std::size_t begin = 0;
  for (const std::size_t end : pieces.ends) out.push_back(end - std::exchange(begin, end));
  return out;
}

/// The pieces of every text, by name.
class Goldens {
 public:
  Goldens() {
    const std::string path = std::string(NIBBLE_SOURCE_DIR) + "/tests/golden/pre_tokenizers.json";
    document_ = parse_untrusted(read_text_file(path).value(), path).value();
    for (const Json& family : document_["families"])
      for (const Json& name : family["names"]) pieces_[name.get<std::string>()] = &family["pieces"];
  }
  const Json& texts() const { return document_["texts"]; }
  const std::map<std::string, const Json*, std::less<>>& all() const { return pieces_; }

 private:
  Json document_;
  std::map<std::string, const Json*, std::less<>> pieces_;
};

TEST(PreTokenizerTable, EveryNameSplitsAsItsModelsDo) {
  const Goldens goldens;
  ASSERT_GE(goldens.texts().size(), 20u);
  for (const PreTokenizerEntry& entry : pre_tokenizer_table()) {
    const auto golden = goldens.all().find(entry.name);
    ASSERT_NE(golden, goldens.all().end()) << entry.name << " has no golden";
    const PreTokenizer pre_tokenizer = pre_tokenizer_of(entry);
    for (std::size_t i = 0; i < goldens.texts().size(); ++i) {
      const auto text = goldens.texts()[i].get<std::string>();
      EXPECT_EQ(piece_lengths(pre_tokenizer, text), (*golden->second)[i].get<std::vector<std::size_t>>())
          << entry.name << ": " << text;
    }
  }
}

TEST(PreTokenizerTable, HasEveryNameOfTheGoldens) {
  const Goldens goldens;
  for (const auto& golden : goldens.all()) EXPECT_NE(find_pre_tokenizer(golden.first), nullptr) << golden.first;
  EXPECT_EQ(find_pre_tokenizer("kimi-k2"), nullptr);
  EXPECT_NE(why_pre_tokenizer_is_refused("kimi-k2"), "");
}

/// A name that GGUF needs is found from the patterns alone, with its flags.
TEST(PreTokenizerTable, NamesAreFoundFromPatterns) {
  for (const PreTokenizerEntry& entry : pre_tokenizer_table()) {
    const std::vector<std::string> patterns(entry.patterns.begin(), entry.patterns.end());
    const PreTokenizerEntry* found = match_pre_tokenizer(patterns, entry.flags);
    ASSERT_NE(found, nullptr) << entry.name;
    EXPECT_EQ(found->patterns.data(), entry.patterns.data()) << entry.name;
    EXPECT_EQ((found->flags ^ entry.flags) & (kIgnoreMerges | kRawUtf8), 0u) << entry.name;
  }
  EXPECT_EQ(match_pre_tokenizer({"x+"}, 0), nullptr);
}

std::string random_text(std::mt19937& random) {
  const std::vector<std::string> parts = {"a",
                                          "Z",
                                          "s",
                                          "'",
                                          "'s",
                                          "'LL",
                                          "'\xC5\xBF",
                                          " ",
                                          "  ",
                                          "\n",
                                          "\r",
                                          "\t",
                                          "1",
                                          "23",
                                          "\xC2\xB2",
                                          "\xD9\xA3",
                                          "_",
                                          "!",
                                          "\xE3\x80\x80",
                                          "\xE4\xB8\x96",
                                          "\xCC\x81",
                                          "\xC2\xA0",
                                          "\xF0\x9F\x98\x80",
                                          "\xE2\x80\x8B",
                                          "\xC7\x85",
                                          "-"};
  std::string out;
  for (std::size_t i = random() % 14; i > 0; --i) out += parts[random() % parts.size()];
  return out;
}

TEST(Splitter, HandwrittenOnesAgreeWithTheirPatterns) {
  std::mt19937 random(5);
  for (std::string_view pattern : handwritten_patterns()) {
    const Splitter fast = Splitter::compile(pattern, "test").value();
    const Splitter general = Splitter::compile_general(pattern, "test").value();
    ASSERT_TRUE(fast.is_handwritten());
    ASSERT_FALSE(general.is_handwritten());
    for (int round = 0; round < 20000; ++round) {
      const std::string text = random_text(random);
      std::vector<TextSpan> a;
      std::vector<TextSpan> b;
      ASSERT_TRUE(fast.find_all(text, a).ok());
      ASSERT_TRUE(general.find_all(text, b).ok());
      const bool same = std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const TextSpan& x, const TextSpan& y) {
        return x.begin == y.begin && x.end == y.end;
      });
      ASSERT_TRUE(same) << pattern << "\n" << testing::PrintToString(text);
    }
  }
}

}  // namespace
}  // namespace nibble
