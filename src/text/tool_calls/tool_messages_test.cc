// Messages with tool calls through templates written as those of the models are.
#include "text/tool_calls/tool_messages.h"

#include <gtest/gtest.h>

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
  const Json out = messages_for_template(conversation());
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
                           R"([{"role": "user", "content": null}])"}) {
    const Json messages = Json::parse(text);
    EXPECT_EQ(messages_for_template(messages), messages) << text;
  }
  std::string deep(100'000, '[');
  const Json messages =
      Json::array({{{"content", "x"}, {"tool_calls", Json::array({{{"function", {{"arguments", deep}}}}})}}});
  EXPECT_EQ(messages_for_template(messages), messages);
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
    const auto text = chat->render_chat(messages_for_template(conversation()));
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
