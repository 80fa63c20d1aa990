// Streams of answers put together again are the whole answer, however the text came.
#include "answer.h"

#include <gtest/gtest.h>

#include "answer_json.h"

namespace nibble::server {
namespace {

/// The objects of a stream's events.
std::vector<Json> chunks_of(const std::string& stream) {
  std::vector<Json> chunks;
  for (std::size_t at = 0; at < stream.size();) {
    const std::size_t end = stream.find("\n\n", at);
    EXPECT_EQ(stream.substr(at, 6), "data: ");
    chunks.push_back(parse_untrusted(stream.substr(at + 6, end - at - 6), "chunk").value());
    at = end + 2;
  }
  return chunks;
}

AnswerDelta content(std::string text) {
  AnswerDelta delta;
  delta.pieces.emplace_back();
  delta.pieces.back().text = std::move(text);
  return delta;
}

GeneratedToken token(std::string bytes, float logprob) {
  GeneratedToken token;
  token.logprob = TokenLogprob{1, logprob, bytes};
  token.top = {TokenLogprob{1, logprob, bytes}, TokenLogprob{2, -INFINITY, "\xE4"}};
  return token;
}

TEST(ChatFormat, CallsInPieces) {
  const auto format = chat_format({"id", 1, "m", false, false});
  Answer answer;
  std::string stream = format->begin(answer);
  const auto come = [&](AnswerPiece piece) {
    AnswerDelta delta;
    delta.pieces.push_back(std::move(piece));
    stream += format->delta(answer, delta);
    add_to(answer, delta);
  };
  using Kind = AnswerPiece::Kind;
  come({Kind::kContent, 0, "", "I \"look\"", true});
  come({Kind::kCallBegin, 0, "call_1", "f", true});
  come({Kind::kArguments, 0, "", "{\"a\"", true});
  come({Kind::kArguments, 0, "", ": 1}", true});
  come({Kind::kCallEnd, 0, "", "", true});
  come({Kind::kCallBegin, 1, "call_2", "g", true});
  come({Kind::kArguments, 1, "", "{}", true});
  answer.outcome = Outcome();
  stream += format->finish(answer);
  const Json whole = parse_untrusted(format->whole({answer}, {3, 0, 5}), "whole").value();
  const Json& message = whole["choices"][0]["message"];
  EXPECT_EQ(whole["choices"][0]["finish_reason"], "tool_calls");
  EXPECT_EQ(message["content"], "I \"look\"");
  EXPECT_EQ(message["tool_calls"][0]["function"]["arguments"], "{\"a\": 1}");
  EXPECT_EQ(message["tool_calls"][1]["id"], "call_2");
  std::string text;
  std::map<int, std::string> arguments;
  for (const Json& chunk : chunks_of(stream)) {
    const Json& delta = chunk["choices"][0]["delta"];
    if (delta.contains("content")) text += delta["content"].get<std::string>();
    for (const Json& call : delta.contains("tool_calls") ? delta["tool_calls"] : Json::array())
      arguments[call["index"]] += call["function"]["arguments"].get<std::string>();
  }
  EXPECT_EQ(text, "I \"look\"");
  EXPECT_EQ(arguments, (std::map<int, std::string>{{0, "{\"a\": 1}"}, {1, "{}"}}));
}

TEST(ChatFormat, ACallThatBrokeOffIsNoneToBeMade) {
  using Kind = AnswerPiece::Kind;
  for (const bool complete : {false, true}) {
    const auto format = chat_format({"id", 1, "m", false, false});
    Answer answer;
    AnswerDelta delta;
    delta.pieces = {{Kind::kCallBegin, 0, "call_1", "f", true},
                    {Kind::kArguments, 0, "", complete ? "{}" : "{\"a\": ", true},
                    {Kind::kCallEnd, 0, "", "", complete}};
    add_to(answer, delta);
    answer.outcome = Outcome();
    const char* const reason = complete ? "tool_calls" : "stop";
    EXPECT_EQ(chunks_of(format->finish(answer)).at(0)["choices"][0]["finish_reason"], reason);
    const Json whole = parse_untrusted(format->whole({answer}, {}), "whole").value();
    EXPECT_EQ(whole["choices"][0]["finish_reason"], reason);
  }
}

TEST(ChatFormat, LogprobsWithoutText) {
  const auto format = chat_format({"id", 1, "m", true, true});
  Answer answer;
  AnswerDelta delta;
  delta.tokens = {token("\xC3", -0.5f)};
  const auto chunks = chunks_of(format->delta(answer, delta));
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(chunks[0]["choices"][0]["delta"]["content"], "");
  const Json& entry = chunks[0]["choices"][0]["logprobs"]["content"][0];
  EXPECT_EQ(entry["bytes"], Json::array({0xC3}));
  EXPECT_EQ(entry["top_logprobs"][1]["logprob"], -9999.0);
  EXPECT_TRUE(chunks[0].contains("usage") && chunks[0]["usage"].is_null());
  format->keep(answer, delta);
  format->keep(answer, delta);
  answer.outcome = Outcome();
  const Json whole = parse_untrusted(format->whole({answer}, {}), "whole").value();
  EXPECT_EQ(whole["choices"][0]["logprobs"]["content"], Json::array({entry, entry}));
}

/// Empty lists are lists, and null is what was not asked for.
TEST(Formats, WholeAnswersWithoutTokens) {
  for (const bool logprobs : {false, true}) {
    const AnswerHead head = {"id", 1, "m", false, logprobs};
    Answer answer;
    answer.outcome = Outcome();
    const Json chat = parse_untrusted(chat_format(head)->whole({answer}, {}), "chat").value();
    const Json text = parse_untrusted(completion_format(head, false)->whole({answer}, {}), "text").value();
    EXPECT_EQ(chat["choices"][0]["logprobs"].dump(), logprobs ? R"({"content":[],"refusal":null})" : "null");
    EXPECT_EQ(text["choices"][0]["logprobs"].dump(),
              logprobs ? R"({"tokens":[],"token_logprobs":[],"top_logprobs":[],"text_offset":[]})" : "null");
  }
}

TEST(CompletionFormat, OffsetsCountCharacters) {
  const auto format = completion_format({"id", 1, "m", false, true}, true);
  const auto whole_format = completion_format({"id", 1, "m", false, true}, true);
  Answer answer;
  answer.prompt = "\xC3\xA4";
  std::string stream = format->begin(answer);
  for (const char* text : {"\xC3\xA4x", "y"}) {
    AnswerDelta delta = content(text);
    delta.tokens = {token(text, -1)};
    stream += format->delta(answer, delta);
    whole_format->keep(answer, delta);
    add_to(answer, delta);
  }
  answer.outcome = Outcome();
  const Json whole = parse_untrusted(whole_format->whole({answer}, {}), "whole").value();
  EXPECT_EQ(whole["choices"][0]["text"], "\xC3\xA4\xC3\xA4xy");
  EXPECT_EQ(whole["choices"][0]["logprobs"]["text_offset"], Json::array({1, 3}));
  std::string text;
  Json offsets = Json::array();
  for (const Json& chunk : chunks_of(stream)) {
    text += chunk["choices"][0]["text"].get<std::string>();
    const Json& logprobs = chunk["choices"][0]["logprobs"];
    if (!logprobs.is_null())
      offsets.insert(offsets.end(), logprobs["text_offset"].begin(), logprobs["text_offset"].end());
  }
  EXPECT_EQ(offsets, whole["choices"][0]["logprobs"]["text_offset"]);
  EXPECT_EQ(text, "\xC3\xA4\xC3\xA4xy");
}

}  // namespace
}  // namespace nibble::server
