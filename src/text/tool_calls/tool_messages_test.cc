// Messages with tool calls through templates written as those of the models are.
#include "text/tool_calls/tool_messages.h"

#include <gtest/gtest.h>

#include "base/cpu_time.h"
#include "base/testing/costs.h"
#include "text/template/chat_template.h"
#include "text/tool_calls/tool_call_parser.h"

namespace nibble {
namespace {

Json conversation() {
  return Json::parse(R"([
    {"role": "user", "content": [{"type": "text", "text": "Weather "}, {"type": "text", "text": "in Köln?"}]},
    {"role": "assistant", "content": null, "tool_calls": [
      {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": "{\"city\":\"Köln\",\"n\":[1,2]}"}}]},
    {"role": "tool", "tool_call_id": "call_0", "content": "sunny"}])");
}

TEST(ToolMessages, ArgumentsAndContentsAreAsTemplatesWant) {
  const Json out = messages_for_template(conversation(), "");
  EXPECT_EQ(out[0]["content"], "Weather in Köln?");
  EXPECT_EQ(out[1]["content"], "");
  EXPECT_EQ(out[1]["tool_calls"][0]["function"]["arguments"], Json::parse(R"({"city": "Köln", "n": [1, 2]})"));
  EXPECT_EQ(out[2], conversation()[2]);
}

TEST(ToolMessages, LeavesOtherFormsAlone) {
  for (const char* text : {"3", "[1, null]", R"([{"role": "user", "content": [{"type": "image_url"}]}])",
                           R"([{"role": "assistant", "tool_calls": [1, {"function": 2}], "content": "x"}])",
                           R"([{"tool_calls": [{"function": {"arguments": "{\"a\""}}], "content": "x"}])",
                           R"([{"tool_calls": [{"function": {"arguments": "[1]"}}], "content": "x"}])",
                           R"([{"role": 1, "content": [null]}])"}) {
    const Json messages = Json::parse(text);
    EXPECT_EQ(messages_for_template(messages, ""), messages) << text;
  }
  std::string deep(100'000, '[');
  const Json messages =
      Json::array({{{"content", "x"}, {"tool_calls", Json::array({{{"function", {{"arguments", deep}}}}})}}});
  EXPECT_EQ(messages_for_template(messages, ""), messages);
}

/// As model_dump() of OpenAI's client writes an answer that goes back into the conversation.
TEST(ToolMessages, WhatAMessageHasNotIsNotThere) {
  const Json out = messages_for_template(Json::parse(R"([
    {"role": "user", "content": null, "name": null},
    {"content": "x", "refusal": null, "role": "assistant", "function_call": null, "tool_calls": null},
    {"content": "x", "role": "assistant", "tool_calls": []},
    {"content": null, "role": "assistant", "audio": null, "tool_calls": [{"function": {"arguments": "{}"}}]},
    {"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}])"),
                                         "");
  const Json calls = Json::parse(R"([{"function": {"arguments": {}}}])");
  EXPECT_EQ(out[0], Json::parse(R"({"role": "user"})"));
  EXPECT_EQ(out[1], Json::parse(R"({"content": "x", "role": "assistant"})"));
  EXPECT_EQ(out[2], out[1]);
  for (const std::size_t i : {3U, 4U}) {
    EXPECT_EQ(out[i].size(), 3U) << out[i];
    EXPECT_EQ(out[i]["content"], "");
    EXPECT_EQ(out[i]["tool_calls"], calls);
  }
}

TEST(ToolMessages, ManyMembersTakeBoundedTime) {
  std::string text = R"([{"role": "user")";
  for (int i = 0; i < 200'000; ++i) text += ", \"" + std::to_string(i) + "\": null";
  const Json messages = parse_untrusted(text + "}]", "test").value();
  const double start = thread_cpu_seconds();
  EXPECT_EQ(messages_for_template(messages, ""), Json::parse(R"([{"role": "user"}])"));
  EXPECT_LT(thread_cpu_seconds() - start, kPatience);
}

TEST(ToolMessages, DevelopersAreTheSystemWhereATemplateHasNone) {
  const Json messages = Json::parse(R"([{"role": "developer", "content": "x"}])");
  EXPECT_EQ(messages_for_template(messages, "{% if m.role == 'system' %} a developer")[0]["role"], "system");
  EXPECT_EQ(messages_for_template(messages, "{% if m.role == 'developer' %}")[0]["role"], "developer");
  EXPECT_EQ(messages_for_template(messages, "{% if m.role == \"developer\" %}")[0]["role"], "developer");
}

/// What a template writes for a call is what the parser reads.
TEST(ToolMessages, TemplatesAndParserAgree) {
  const char* const hermes =
      "{%- for m in messages %}{%- if m.tool_calls %}{{ m.content }}{%- for t in m.tool_calls %}"
      "{%- if t.function %}{%- set t = t.function %}{%- endif %}"
      "{{- '<tool_call>\\n{\"name\": \"' + t.name + '\", \"arguments\": ' }}{{ t.arguments | tojson }}{{ "
      "'}\\n</tool_call>' }}"
      "{%- endfor %}{%- endif %}{%- endfor %}";
  const char* const llama =
      "<|start_header_id|>{%- for m in messages %}{%- if 'tool_calls' in m %}"
      "{%- if not m.tool_calls|length == 1 %}{{ raise_exception('single calls only') }}{%- endif %}"
      "{%- set t = m.tool_calls[0].function %}{{- '{\"name\": \"' + t.name + '\", ' }}{{- '\"parameters\": ' }}"
      "{{- t.arguments | tojson }}{{- '}' }}{%- endif %}{%- endfor %}";
  for (const char* source : {hermes, llama}) {
    const ToolCallStyle style = tool_call_style(source);
    ASSERT_NE(style, ToolCallStyle::kNone);
    const auto chat = ChatTemplate::parse(source, "test");
    ASSERT_TRUE(chat.ok()) << chat.error().message;
    const auto text = chat->render_chat(messages_for_template(conversation(), source));
    ASSERT_TRUE(text.ok()) << text.error().message;
    std::string answer = *text;
    if (style == ToolCallStyle::kLlama3) answer.erase(0, std::string("<|start_header_id|>").size());
    const ToolCallAnswer parsed = parse_tool_calls(answer, style, {{"f"}, "call_"});
    EXPECT_EQ(parsed.content, "");
    ASSERT_EQ(parsed.calls.size(), 1u) << answer;
    EXPECT_EQ(parsed.calls[0].arguments, "{\"city\": \"Köln\", \"n\": [1, 2]}");
  }
}

}  // namespace
}  // namespace nibble
