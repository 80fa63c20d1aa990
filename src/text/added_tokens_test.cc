// Both orders of cutting against their definitions, word for word, on small alphabets where tokens overlap and nest.
#include "text/added_tokens.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace nibble {
namespace {

AddedToken token(std::int32_t id, std::string content) {
  AddedToken out;
  out.id = id;
  out.content = std::move(content);
  return out;
}

/// Sections as text: "<3>" is the token 3, anything else is text.
std::string shown(std::string_view text, const std::vector<TextSection>& sections) {
  std::string out;
  for (const TextSection& section : sections)
    out += section.id < 0
               ? "[" + std::string(text.substr(section.span.begin, section.span.end - section.span.begin)) + "]"
               : "<" + std::to_string(section.id) + ">";
  return out;
}

std::string cut(const std::vector<AddedToken>& tokens, bool longest_first, std::string_view text,
                bool parse_special = true) {
  const auto added = AddedTokens::build(tokens, longest_first, "test");
  std::vector<TextSection> sections;
  added.value().cut(text, parse_special, sections);
  return shown(text, sections);
}

/// At every place from left to right the longest token that stands there.
std::string cut_left_to_right(const std::vector<AddedToken>& tokens, std::string_view text) {
  std::vector<TextSection> sections;
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {
    const AddedToken* best = nullptr;
    for (const AddedToken& t : tokens)
      if (text.substr(at, t.content.size()) == t.content &&
          (best == nullptr || best->content.size() < t.content.size()))
        best = &t;
    if (best == nullptr) {
      ++at;
      continue;
    }
    if (at > done) sections.push_back({{done, at}, -1});
    sections.push_back({{at, at + best->content.size()}, best->id});
    done = at += best->content.size();
  }
  if (done < text.size()) sections.push_back({{done, text.size()}, -1});
  return shown(text, sections);
}

/// Token after token, longest first, each in all fragments that are still text, from their left.
std::string cut_longest_first(std::vector<AddedToken> tokens, std::string_view text) {
  std::stable_sort(tokens.begin(), tokens.end(),
                   [](const auto& a, const auto& b) { return a.content.size() > b.content.size(); });
  std::vector<TextSection> sections = {{{0, text.size()}, -1}};
  for (const AddedToken& t : tokens) {
    std::vector<TextSection> next;
    for (const TextSection& section : sections) {
      if (section.id >= 0) {
        next.push_back(section);
        continue;
      }
      std::size_t begin = section.span.begin;
      while (true) {
        const std::size_t found = text.substr(0, section.span.end).find(t.content, begin);
        if (found == std::string_view::npos) break;
        if (found > begin) next.push_back({{begin, found}, -1});
        next.push_back({{found, found + t.content.size()}, t.id});
        begin = found + t.content.size();
      }
      if (begin < section.span.end) next.push_back({{begin, section.span.end}, -1});
    }
    sections = std::move(next);
  }
  return shown(text, sections);
}

TEST(AddedTokens, BothOrdersFollowTheirDefinitions) {
  std::mt19937 random(7);
  const auto word = [&](std::size_t most) {
    std::string out(1 + random() % most, 'a');
    for (char& c : out) c = "ab"[random() % 2];
    return out;
  };
  for (int round = 0; round < 3000; ++round) {
    std::vector<AddedToken> tokens;
    for (std::size_t i = 0; i < 1 + random() % 5; ++i) {
      const std::string content = word(6);
      if (std::none_of(tokens.begin(), tokens.end(), [&](const auto& t) { return t.content == content; }))
        tokens.push_back(token(static_cast<std::int32_t>(i), content));
    }
    const std::string text = word(40);
    EXPECT_EQ(cut(tokens, false, text), cut_left_to_right(tokens, text)) << text;
    EXPECT_EQ(cut(tokens, true, text), cut_longest_first(tokens, text)) << text;
  }
}

TEST(AddedTokens, OrdersDifferWhereTokensOverlap) {
  const std::vector<AddedToken> tokens = {token(1, "ab"), token(2, "bcd")};
  EXPECT_EQ(cut(tokens, false, "xabcd"), "[x]<1>[cd]");
  EXPECT_EQ(cut(tokens, true, "xabcd"), "[xa]<2>");
}

TEST(AddedTokens, SpecialOnesCanBeLeftInTheText) {
  std::vector<AddedToken> tokens = {token(1, "<s>"), token(2, "<s>x")};
  tokens[1].special = true;
  for (const bool longest_first : {false, true}) {
    EXPECT_EQ(cut(tokens, longest_first, "<s>x<s>"), "<2><1>");
    // Hugging Face chooses first and then leaves the chosen one; llama.cpp does not look for it.
    EXPECT_EQ(cut(tokens, longest_first, "<s>x<s>", false), longest_first ? "<1>[x]<1>" : "[<s>x]<1>");
  }
}

TEST(AddedTokens, StripFlagsSwallowWhiteSpace) {
  std::vector<AddedToken> tokens = {token(1, "<m>")};
  tokens[0].lstrip = true;
  EXPECT_EQ(cut(tokens, false, "a \xE3\x80\x80<m> b"), "[a]<1>[ b]");
  EXPECT_EQ(cut(tokens, true, "a \t<m> b"), "[a]<1>[ b]");
  tokens[0].rstrip = true;
  EXPECT_EQ(cut(tokens, false, "a <m> \n b"), "[a]<1>[b]");
  EXPECT_EQ(cut(tokens, true, "<m>  <m>"), "<1><1>");
}

TEST(AddedTokens, SingleWordsStandAlone) {
  std::vector<AddedToken> tokens = {token(1, "ab")};
  tokens[0].single_word = true;
  EXPECT_EQ(cut(tokens, false,
                "ab abc \xC3\xA9"
                "ab ab."),
            "<1>[ abc \xC3\xA9"
            "ab ]<1>[.]");
}

TEST(AddedTokens, EmptyAndOverlongOnesAreRefused) {
  EXPECT_FALSE(AddedTokens::build({token(1, "")}, false, "test").ok());
  EXPECT_FALSE(AddedTokens::build({token(1, std::string(kMaxAddedTokenBytes + 1, 'a'))}, false, "test").ok());
}

}  // namespace
}  // namespace nibble
