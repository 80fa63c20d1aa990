// Tool calls in text, cut in every way; grammars that write what the parser reads; styles of templates.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/cpu_time.h"
#include "base/testing/costs.h"
#include "text/grammar/grammar_test_support.h"
#include "text/tool_calls/json_scanner.h"
#include "text/tool_calls/tool_call_grammar.h"
#include "text/tool_calls/tool_call_parser.h"

namespace nibble {
namespace {

using ::testing::HasSubstr;

/// "content | name(arguments) name(arguments)!": "!" for one that broke off.
std::string shown(const ToolCallAnswer& answer) {
  std::string out = answer.content + "|";
  for (const ToolCall& call : answer.calls)
    out += call.name + "(" + call.arguments + ")" + (call.complete ? "" : "!") + " ";
  return out;
}

ToolCallParserOptions options() { return {{"f", "get_weather", "g\"x"}, "call_"}; }

std::string parsed_in_pieces(std::string_view text, ToolCallStyle style, const std::vector<std::size_t>& cuts) {
  ToolCallParser parser(style, options());
  ToolCallAnswer answer;
  std::size_t begin = 0;
  for (const std::size_t cut : cuts) {
    add_events(parser.feed(text.substr(begin, cut - begin)), answer);
    begin = cut;
  }
  add_events(parser.feed(text.substr(begin)), answer);
  add_events(parser.finish(), answer);
  for (std::size_t i = 0; i < answer.calls.size(); ++i) EXPECT_EQ(answer.calls[i].id, "call_" + std::to_string(i));
  return shown(answer);
}

struct Case {
  std::string text;
  std::string expected;
};

void expect_for_every_split(const Case& c, ToolCallStyle style) {
  ASSERT_EQ(parsed_in_pieces(c.text, style, {}), c.expected) << c.text;
  std::vector<std::size_t> every;
  for (std::size_t i = 1; i < c.text.size(); ++i) every.push_back(i);
  ASSERT_EQ(parsed_in_pieces(c.text, style, every), c.expected) << c.text << "\nbyte by byte";
  for (std::size_t i = 0; i <= c.text.size(); ++i) {
    ASSERT_EQ(parsed_in_pieces(c.text, style, {i}), c.expected) << c.text << "\ncut at " << i;
    for (std::size_t j = i; j <= c.text.size(); j += 3)
      ASSERT_EQ(parsed_in_pieces(c.text, style, {i, j}), c.expected) << c.text << "\ncut at " << i << " and " << j;
  }
}

TEST(ToolCallParser, HermesForEverySplit) {
  const Case cases[] = {
      {"", "|"},
      {"Hello, world.\n", "Hello, world.\n|"},
      {"a < b <tool> <tool_calls> </tool_call>", "a < b <tool> <tool_calls> </tool_call>|"},
      {"<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": [1, {\"y\": \"}\\\"]\"}], \"z\": -1.5e3}}\n</tool_call>",
       "|f({\"x\": [1, {\"y\": \"}\\\"]\"}], \"z\": -1.5e3}) "},
      {"I look.\n\n<tool_call>{\"name\":\"get_weather\",\"arguments\":{}}</tool_call>\n<tool_call>{\"name\": \"f\", "
       "\"arguments\": {\"q\": \"\xE4\xB8\x96\"}}</tool_call>\n",
       "I look.|get_weather({}) f({\"q\": \"\xE4\xB8\x96\"}) "},
      {"<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\nDone. ", "\nDone. |f({}) "},
      {"<tool_call>{\"name\":\"f\",\"arguments\":{}} {\"a\":1}", " {\"a\":1}|f({}) "},
      {"<tool_call>{\"name\":\"f\",\"arguments\":{}}<tool_call>{\"name\":\"f\",\"arguments\":{}}", "|f({}) f({}) "},
      {"<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool", "</tool|f({}) "},
      {"<tool_call>{\"arguments\": {\"a\": 1}, \"name\": \"f\"}</tool_call>", "|f({\"a\": 1}) "},
      {"<tool_call>{\"name\": \"f\"}</tool_call>", "|f({}) "},
      {"<tool_call>{\"id\": 12, \"type\": \"function\", \"name\": \"f\", \"arguments\": {}, \"more\": [null, "
       "true]}</tool_call>",
       "|f({}) "},
      {"<tool_call>{\"name\": \"g\\\"x\", \"parameters\": {}}</tool_call>", "|g\"x({}) "},
      // Not calls: they come out as they are.
      {"<tool_call>{\"name\": \"unknown\", \"arguments\": {}}</tool_call>",
       "<tool_call>{\"name\": \"unknown\", \"arguments\": {}}</tool_call>|"},
      {"<tool_call>text</tool_call> ", "<tool_call>text</tool_call> |"},
      {" <tool_call>{\"name\": \"f\", \"arguments\": \"{}\"}", " <tool_call>{\"name\": \"f\", \"arguments\": \"{}\"}|"},
      {"<tool_call>{\"name\": \"f\", \"arguments\": [1]}", "<tool_call>{\"name\": \"f\", \"arguments\": [1]}|"},
      {"<tool_call>{\"name\": 3}", "<tool_call>{\"name\": 3}|"},
      {"<tool_call>{}", "<tool_call>{}|"},
      {"<tool_call>{\"arguments\": {}}", "<tool_call>{\"arguments\": {}}|"},
      {"<tool_call>{\"name\" \"f\"}", "<tool_call>{\"name\" \"f\"}|"},
      {"<tool_call>{\"name\": \"f\", }", "<tool_call>{\"name\": \"f\", }|"},
      {"<tool_call>{\"na", "<tool_call>{\"na|"},
      {"<tool_call>", "<tool_call>|"},
      {"<tool_call", "<tool_call|"},
      {"<<tool_call><tool_call>{\"name\":\"f\",\"arguments\":{}}", "<<tool_call>|f({}) "},
      {"<tool_call>{\"name\": \"<tool_call>{\"name\":\"f\",\"arguments\":{}}", "<tool_call>{\"name\": \"|f({}) "},
      // Broken off behind the beginning of the arguments.
      {"<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": tru", "|f({\"a\": tru)! "},
      {"<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}", "|f({\"a\": 1})! "},
      {"<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": x} text", "x} text|f({\"a\": )! "},
      {"<tool_call>{\"name\": \"f\", \"arguments\": {}, \"name\": \"f\"} <tool_call>{\"name\":\"f\",\"arguments\":{}}",
       "\"f\"}|f({})! f({}) "},
  };
  for (const Case& c : cases) ASSERT_NO_FATAL_FAILURE(expect_for_every_split(c, ToolCallStyle::kHermes));
}

/// Models write code into strings as it is.
TEST(ToolCallParser, LineEndsInStringsBecomeEscapes) {
  const std::string begin = "<tool_call>{\"name\": \"f\", \"arguments\": ";
  const Case cases[] = {
      {begin + "{\"a\":\n\t\"x\ny\r\n\tz\\n\", \"k\n\": [\"\t\"]}}</tool_call>",
       "|f({\"a\":\n\t\"x\\ny\\r\\n\\tz\\n\", \"k\\n\": [\"\\t\"]}) "},
      {"<tool_call>{\"arguments\": {\"a\": \"x\ny\"}, \"name\": \"f\"}</tool_call>", "|f({\"a\": \"x\\ny\"}) "},
      // Other control characters, and one behind a backslash, are none of JSON still.
      {begin + "{\"a\": \"\x01\"}}", "\x01\"}}|f({\"a\": \")! "},
      {begin + "{\"a\": \"\\\n\"}}", "\n\"}}|f({\"a\": \"\\)! "},
      {"<tool_call>{\"na\nme\": \"f\"}", "<tool_call>{\"na\nme\": \"f\"}|"},
  };
  for (const Case& c : cases) ASSERT_NO_FATAL_FAILURE(expect_for_every_split(c, ToolCallStyle::kHermes));
}

TEST(ToolCallParser, CallsBeyondTheMostAreDropped) {
  const std::string call = "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>";
  ToolCallParserOptions one = options();
  one.max_calls = 1;
  const auto parsed = [&](const std::string& text) {
    const std::string whole = shown(parse_tool_calls(text, ToolCallStyle::kHermes, one));
    ToolCallParser parser(ToolCallStyle::kHermes, one);
    ToolCallAnswer answer;
    for (const char c : text) add_events(parser.feed({&c, 1}), answer);
    add_events(parser.finish(), answer);
    EXPECT_EQ(shown(answer), whole) << text;
    return whole;
  };
  EXPECT_EQ(parsed("I look." + call + "\n" + call + call), "I look.|f({}) ");
  EXPECT_EQ(parsed(call + "\n<tool_call>{\"name\": \"f\", \"arguments\": {\"a"), "|f({}) ");
  EXPECT_EQ(parsed(call + call + " and text"), " and text|f({}) ");
}

TEST(ToolCallParser, Llama3ForEverySplit) {
  const Case cases[] = {
      {"Hello {\"name\": \"f\", \"parameters\": {}}", "Hello {\"name\": \"f\", \"parameters\": {}}|"},
      {"{\"name\": \"f\", \"parameters\": {\"a\": \"b\"}}", "|f({\"a\": \"b\"}) "},
      {"\n {\"type\": \"function\", \"name\": \"f\", \"parameters\": {}}\n", "|f({}) "},
      {"<|python_tag|>{\"name\": \"f\", \"parameters\": {}}", "|f({}) "},
      {"Let me see. <|python_tag|>{\"name\": \"f\", \"parameters\": {}}", "Let me see.|f({}) "},
      {"{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"f\", \"parameters\": {\"n\":1}}", "|f({}) f({\"n\":1}) "},
      {"{\"name\": \"f\", \"parameters\": {}}; and more", "; and more|f({}) "},
      {"{\"name\": \"Ada\", \"age\": 36}", "{\"name\": \"Ada\", \"age\": 36}|"},
      {"{\"answer\": {\"name\": \"f\"}}", "{\"answer\": {\"name\": \"f\"}}|"},
      {"<|python_tag|>f.call(x=\"1\")", "<|python_tag|>f.call(x=\"1\")|"},
      {"{", "{|"},
      {"  ", "  |"},
      {"{\"name\": \"f\", \"parameters\": {\"a\": [1, 2", "|f({\"a\": [1, 2)! "},
  };
  for (const Case& c : cases) ASSERT_NO_FATAL_FAILURE(expect_for_every_split(c, ToolCallStyle::kLlama3));
}

TEST(ToolCallParser, WithoutAStyleEverythingIsContent) {
  const Case c = {" {\"name\": \"f\", \"parameters\": {}} <tool_call>{\"name\": \"f\"} ",
                  " {\"name\": \"f\", \"parameters\": {}} <tool_call>{\"name\": \"f\"} |"};
  expect_for_every_split(c, ToolCallStyle::kNone);
}

TEST(ToolCallParser, GivesOutWhatItKnowsAtOnce) {
  using Kind = AnswerPiece::Kind;
  ToolCallParser parser(ToolCallStyle::kHermes, options());
  auto events = parser.feed("Well, ");
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].text, "Well,");
  EXPECT_EQ(parser.feed("<tool_call>{\"name\": \"f\", \"arg").size(), 0u);
  events = parser.feed("uments\": {\"a");
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].kind, Kind::kCallBegin);
  EXPECT_EQ(events[0].text, "f");
  EXPECT_EQ(events[0].id, "call_0");
  EXPECT_EQ(events[1].kind, Kind::kArguments);
  EXPECT_EQ(events[1].text, "{\"a");
  events = parser.feed("\": 1}}");
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].text, "\": 1}");
  EXPECT_EQ(events[1].kind, Kind::kCallEnd);
  EXPECT_TRUE(events[1].complete);
  EXPECT_EQ(parser.calls(), 1);
  EXPECT_TRUE(parser.finish().empty());
}

/// Random texts of tags, halves of calls and words: no split changes the answer, and no byte is lost where there is no
/// call.
TEST(ToolCallParser, RandomTextsForRandomSplits) {
  std::mt19937 random(5);
  const char* const parts[] = {"<tool_call>",
                               "</tool_call>",
                               "<tool_",
                               "<|python_tag|>",
                               "{",
                               "}",
                               "\"name\": ",
                               "\"f\"",
                               ", ",
                               "\"arguments\": ",
                               "\"parameters\": ",
                               "{\"a\": 1}",
                               "{\"name\": \"f\", \"arguments\": ",
                               "[",
                               "]",
                               "\"",
                               "\\",
                               "\n",
                               " ",
                               "text",
                               ";",
                               "12",
                               "{\"name\": \"f\", \"parameters\": {\"x\": "};
  for (int round = 0; round < 4000; ++round) {
    std::string text;
    const std::size_t count = random() % 14;
    for (std::size_t i = 0; i < count; ++i) text += parts[random() % std::size(parts)];
    const auto style = round % 2 == 0 ? ToolCallStyle::kHermes : ToolCallStyle::kLlama3;
    const std::string whole = parsed_in_pieces(text, style, {});
    for (int split = 0; split < 4; ++split) {
      std::vector<std::size_t> cuts;
      for (std::size_t i = 0; i < text.size(); ++i)
        if (random() % 4 == 0) cuts.push_back(i);
      ASSERT_EQ(parsed_in_pieces(text, style, cuts), whole) << text;
    }
    const ToolCallAnswer answer = parse_tool_calls(text, style, options());
    if (answer.calls.empty()) {
      EXPECT_EQ(answer.content, text);
    }
    for (const ToolCall& call : answer.calls) EXPECT_TRUE(!call.complete || Json::accept(call.arguments)) << text;
  }
}

TEST(ToolCallParser, HostileTextsTakeBoundedTime) {
  std::string nested;
  while (nested.size() < 200'000) nested += "<tool_call>{\"x\": \"";
  std::string spaces(200'000, ' ');
  std::string long_name = "<tool_call>{\"name\": \"" + std::string(200'000, 'a');
  std::string deep = "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": " + std::string(200'000, '[');
  const double start = thread_cpu_seconds();
  EXPECT_EQ(parse_tool_calls(nested, ToolCallStyle::kHermes, options()).content, nested);
  EXPECT_EQ(parse_tool_calls(spaces, ToolCallStyle::kHermes, options()).content, spaces);
  EXPECT_EQ(parse_tool_calls(long_name, ToolCallStyle::kHermes, options()).content, long_name);
  EXPECT_FALSE(parse_tool_calls(deep, ToolCallStyle::kHermes, options()).calls.at(0).complete);
  EXPECT_LT(thread_cpu_seconds() - start, 2 * kPatience);
}

TEST(JsonScanner, EndsWhereTheValueEnds) {
  const auto scan = [](std::string_view text) {
    JsonScanner scanner;
    scanner.reset();
    for (std::size_t i = 0; i < text.size(); ++i) {
      switch (scanner.feed(text[i])) {
        case JsonScanner::Result::kMore:
          break;
        case JsonScanner::Result::kEnd:
          return static_cast<int>(i) + 1;
        case JsonScanner::Result::kEndedBefore:
          return static_cast<int>(i);
        case JsonScanner::Result::kWrong:
          return -1;
      }
    }
    return 0;
  };
  for (const char* text :
       {"{}", "[]", "\"a\\u00e9\\n\"", "true", "null", "[1, -0.5e+10, 0, 1E3 ]", "{\"a\" : [ {} , \"]\" ] }"}) {
    const std::string longer = std::string(text) + ",";
    EXPECT_EQ(scan(longer), static_cast<int>(longer.size()) - 1) << text;
  }
  for (const char* text : {"-12.5e-3", "0", "10"})
    EXPECT_EQ(scan(std::string(text) + "}"), static_cast<int>(std::string_view(text).size()));
  for (const char* text :
       {"x",    "}",    "[1,]",   "{,}", "{\"a\"}", "{\"a\":1,}", "[1 2]",      "[01]", "[1.]", "[1e]",
        "[+1]", "[.5]", "[tru ]", "[-]", "\"\n\"",  "\"\\x\"",    "\"\\u12g\"", "[}",   "{]",   " 1"})
    EXPECT_EQ(scan(std::string(text) + " "), -1) << text;
  EXPECT_EQ(scan(std::string(64, '[') + std::string(64, ']')), 128);
  EXPECT_EQ(scan(std::string(65, '[')), -1);
}

// ---------------------------------------------------------------- grammars

Json two_tools() {
  return Json::parse(R"([
    {"type": "function", "function": {"name": "get_weather", "description": "d", "parameters": {"type": "object",
      "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}}, "required": ["city"]}}},
    {"type": "function", "function": {"name": "f"}}])");
}

TEST(ToolCallGrammar, WritesTheStyleOfTheTemplate) {
  ToolCallGrammarOptions options;
  options.max_calls = 2;
  const auto hermes = tool_call_grammar(ToolCallStyle::kHermes, two_tools(), options);
  ASSERT_TRUE(hermes.ok()) << hermes.error().message;
  const std::string weather =
      "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Bonn\", \"unit\": \"C\"}}\n</tool_call>";
  const std::string f = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
  EXPECT_TRUE(accepts(*hermes, weather));
  EXPECT_TRUE(accepts(*hermes, f));
  EXPECT_TRUE(accepts(*hermes, f + "\n" + weather));
  EXPECT_FALSE(accepts(*hermes, f + "\n" + weather + "\n" + f));
  EXPECT_FALSE(accepts(*hermes, ""));
  EXPECT_FALSE(accepts(*hermes, "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {}}\n</tool_call>"));
  EXPECT_FALSE(accepts(*hermes, "<tool_call>\n{\"name\": \"h\", \"arguments\": {}}\n</tool_call>"));

  options.function = "f";
  const auto llama = tool_call_grammar(ToolCallStyle::kLlama3, two_tools(), options);
  ASSERT_TRUE(llama.ok());
  EXPECT_TRUE(accepts(*llama, "{\"name\": \"f\", \"parameters\": {}}"));
  EXPECT_FALSE(accepts(*llama, "{\"name\": \"get_weather\", \"parameters\": {\"city\": \"\"}}"));
}

TEST(ToolCallGrammar, ArgumentsAreObjects) {
  for (const char* parameters :
       {"{}", "true", "null", R"({"properties": {"a": {"type": "integer"}}})",
        R"({"anyOf": [{"required": ["a"]}, {"type": "string"}]})", R"({"$ref": "#/$defs/a", "$defs": {"a": {}}})"}) {
    Json tools = two_tools();
    tools[1]["function"]["parameters"] = Json::parse(parameters);
    ToolCallGrammarOptions options;
    options.function = "f";
    const auto grammar = tool_call_grammar(ToolCallStyle::kLlama3, tools, options);
    ASSERT_TRUE(grammar.ok()) << grammar.error().message;
    EXPECT_FALSE(accepts(*grammar, "{\"name\": \"f\", \"parameters\": \"\"}")) << parameters;
    EXPECT_TRUE(accepts(*grammar, "{\"name\": \"f\", \"parameters\": {\"a\": 1}}") ||
                accepts(*grammar, "{\"name\": \"f\", \"parameters\": {}}"))
        << parameters;
  }
}

TEST(ToolCallGrammar, RandomAnswersAreReadAsCalls) {
  std::mt19937 random(4);
  for (const auto style : {ToolCallStyle::kHermes, ToolCallStyle::kLlama3}) {
    ToolCallGrammarOptions options;
    options.max_calls = 3;
    const auto grammar = tool_call_grammar(style, two_tools(), options);
    ASSERT_TRUE(grammar.ok());
    const auto matcher = std::make_shared<GrammarMatcher>(*grammar, byte_trie());
    for (int round = 0; round < 50; ++round) {
      GrammarState state(matcher);
      std::string text;
      auto bitmask = bitmask_for(*byte_trie());
      while (!state.must_end() && !(state.may_end() && random() % 2 == 0)) {
        ASSERT_TRUE(state.allowed(bitmask).ok());
        auto tokens = tokens_of(bitmask);
        std::int32_t token = tokens[random() % tokens.size()];
        if (token == 256) continue;
        if (random() % 8 == 0 && has_token(bitmask, '"')) token = '"';
        ASSERT_TRUE(state.accept(token).ok());
        text.push_back(static_cast<char>(token));
      }
      const ToolCallAnswer answer = parse_tool_calls(text, style, {{"f", "get_weather"}, "call_"});
      EXPECT_EQ(answer.content, "") << text;
      ASSERT_GE(answer.calls.size(), 1u) << text;
      for (const ToolCall& call : answer.calls) {
        EXPECT_TRUE(call.complete) << text;
        EXPECT_TRUE(Json::parse(call.arguments, nullptr, false).is_object()) << text;
      }
    }
  }
}

TEST(ToolCallGrammar, NamesWhatIsWrong) {
  const auto message = [](const char* tools, ToolCallGrammarOptions options = {}) {
    const auto grammar = tool_call_grammar(ToolCallStyle::kHermes, Json::parse(tools), options);
    return grammar.ok() ? "made" : grammar.error().message;
  };
  EXPECT_THAT(message("{}"), HasSubstr("tools: expected a list"));
  EXPECT_THAT(message("[]"), HasSubstr("tools: expected a list"));
  EXPECT_THAT(message(R"([{"type": "retrieval"}])"), HasSubstr("tools[0]: expected {\"type\": \"function\""));
  EXPECT_THAT(message(R"([{"type": "function", "function": {}}])"), HasSubstr("tools[0].function.name"));
  EXPECT_THAT(message(R"([{"type": "function", "function": {"name": ""}}])"), HasSubstr("1 to 64 bytes"));
  const char* twice =
      R"([{"type": "function", "function": {"name": "a"}}, {"type": "function", "function": {"name": "a"}}])";
  EXPECT_THAT(message(twice), HasSubstr("two functions"));
  EXPECT_THAT(
      message(R"([{"type": "function", "function": {"name": "a", "parameters": {"properties": {"x": {"not": {}}}}}}])"),
      HasSubstr("tools[0].function.parameters (\"a\"): #/properties/x: keyword \"not\" is not supported"));
  ToolCallGrammarOptions options;
  options.function = "b";
  EXPECT_THAT(message(R"([{"type": "function", "function": {"name": "a"}}])", options),
              HasSubstr("none of the tools: a"));
  EXPECT_EQ(tool_call_grammar(ToolCallStyle::kNone, two_tools()).error().code, ErrorCode::kUnsupported);
}

TEST(ToolCallStyle, IsToldFromTheTemplate) {
  EXPECT_EQ(tool_call_style("{{ messages }}"), ToolCallStyle::kNone);
  EXPECT_EQ(
      tool_call_style(R"({{- "<tool_call>\n{\"name\": <function-name>, \"arguments\": <args>}\n</tool_call>" }})"),
      ToolCallStyle::kHermes);
  EXPECT_EQ(tool_call_style(R"({{- '<tool_call>\n{"name": "' + call.name + '", "arguments": ' }})"),
            ToolCallStyle::kHermes);
  EXPECT_EQ(tool_call_style(R"({{- '<tool_call>\n<function=' + call.name + '>' }} "name": "arguments": )"),
            ToolCallStyle::kNone);
  EXPECT_EQ(
      tool_call_style(R"({{- '<|start_header_id|>' }}{{- '{"name": "' + call.name + '", ' }}{{- '"parameters": ' }})"),
      ToolCallStyle::kLlama3);
}

}  // namespace
}  // namespace nibble
