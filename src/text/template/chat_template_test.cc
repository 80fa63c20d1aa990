// Agreement with Jinja on the goldens of tests/golden/templates, limits, and messages.
#include "text/template/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace nibble {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

/// The goldens' clock: Saturday, 2024-07-06 09:05:03.
std::tm golden_clock() {
  std::tm time{};
  time.tm_year = 2024 - 1900;
  time.tm_mon = 6;
  time.tm_mday = 6;
  time.tm_hour = 9;
  time.tm_min = 5;
  time.tm_sec = 3;
  time.tm_wday = 6;
  time.tm_yday = 187;
  return time;
}

Result<std::string> render(std::string_view source, const Json& variables = Json::object(),
                           const RenderLimits& limits = {}) {
  auto parsed = ChatTemplate::parse(source, "test");
  if (!parsed.ok()) return parsed.error();
  return parsed->render(variables, limits, golden_clock());
}

std::string message_of(const Result<std::string>& result) {
  return result.ok() ? "rendered: " + *result : result.error().message;
}

Json read_goldens(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  auto parsed = parse_untrusted(text.str(), path.string());
  return parsed.ok() ? *parsed : Json();
}

class TemplateGoldens : public ::testing::TestWithParam<std::string> {};

TEST_P(TemplateGoldens, AgreeWithJinja) {
  const Json document =
      read_goldens(std::filesystem::path(NIBBLE_SOURCE_DIR) / "tests/golden/templates" / (GetParam() + ".json"));
  ASSERT_TRUE(document.is_object());
  ASSERT_GE(document["cases"].size(), 3u);
  for (const Json& expected : document["cases"]) {
    const auto source = expected["source"].get<std::string>();
    const Result<std::string> result = render(source, document["variables"]);
    if (expected.contains("error")) {
      EXPECT_FALSE(result.ok()) << source << "\nrendered: " << message_of(result);
      EXPECT_THAT(message_of(result), HasSubstr(expected["error"].get<std::string>())) << source;
      EXPECT_THAT(message_of(result), StartsWith("test:")) << source;
    } else {
      ASSERT_TRUE(result.ok()) << source << "\n" << message_of(result);
      EXPECT_EQ(*result, expected["expected"].get<std::string>()) << source;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Areas, TemplateGoldens,
                         ::testing::Values("access", "conversations", "errors", "functions", "literals", "macros",
                                           "methods", "mutation", "operators", "sequence_filters", "statements",
                                           "tests", "text_filters", "value_filters", "whitespace"),
                         [](const auto& area) { return area.param; });

// ---------------------------------------------------------------- the public interface

constexpr std::string_view kChatMl =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
    "'\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

TEST(ChatTemplate, RendersAConversation) {
  auto parsed = ChatTemplate::parse(kChatMl, "chatml");
  ASSERT_TRUE(parsed.ok());
  const Json messages = {{{"role", "user"}, {"content", "Hi"}}};
  ChatOptions options;
  EXPECT_EQ(*parsed->render_chat(messages, options), "<|im_start|>user\nHi<|im_end|>\n");
  options.add_generation_prompt = true;
  EXPECT_EQ(*parsed->render_chat(messages, options), "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_FALSE(parsed->render_chat(Json("no list")).ok());
  EXPECT_TRUE(parsed->mentions("messages"));
  EXPECT_FALSE(parsed->mentions("tools"));
}

TEST(ChatTemplate, PassesTheVariablesThatTransformersPasses) {
  auto parsed = ChatTemplate::parse(
      "{{ tools is none }} {{ documents is none }} {{ bos_token is defined }} {{ eos_token }} {{ enable_thinking }} "
      "{{ strftime_now('%Y') }}",
      "t");
  ASSERT_TRUE(parsed.ok());
  ChatOptions options;
  options.eos_token = "</s>";
  options.extra["enable_thinking"] = false;
  options.now = golden_clock();
  EXPECT_EQ(*parsed->render_chat(Json::array(), options), "True True False </s> False 2024");
  options.tools = Json::array({{{"type", "function"}}});
  options.extra["bos_token"] = "<s>";
  EXPECT_THAT(*parsed->render_chat(Json::array(), options), StartsWith("False True True"));
}

TEST(ChatTemplate, MayBeRenderedByThreads) {
  auto parsed = ChatTemplate::parse(kChatMl, "chatml");
  ASSERT_TRUE(parsed.ok());
  const Json messages = {{{"role", "user"}, {"content", "Hi"}}};
  std::vector<std::string> results(4);
  std::vector<std::thread> threads;
  for (std::string& result : results) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) result = *parsed->render_chat(messages);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& result : results) EXPECT_EQ(result, "<|im_start|>user\nHi<|im_end|>\n");
}

TEST(ChatTemplate, BigNumbersOfSchemasPass) {
  const Json variables = {{"n", 18446744073709551615u}};
  EXPECT_EQ(*render("{{ n|tojson }}", variables), "1.8446744073709552e+19");
  EXPECT_FALSE(render("{{ s }}", {{"s", "\xff"}}).ok());
}

// ---------------------------------------------------------------- messages

TEST(ChatTemplateErrors, NameThePlaceAndWhatWasExpected) {
  EXPECT_EQ(message_of(render("a\n  {{ 1 + }}")), "test:2:10: found '}}', expected an expression");
  EXPECT_EQ(message_of(render("{% if x %}\n{% endfor %}")),
            "test:2:4: found 'endfor', expected 'elif' or 'else' or 'endif' for the 'if' of line 1");
  EXPECT_THAT(message_of(render("{% for x in y %}")), HasSubstr("expected 'endfor' or 'else' for the 'for' of line 1"));
  EXPECT_EQ(message_of(render("{{ x.y }}")), "test:1:5: 'x' is undefined");
  EXPECT_EQ(message_of(render("{{ m.a.b }}", {{"m", Json::object()}})), "test:1:7: 'dict object' has no attribute 'a'");
  EXPECT_EQ(message_of(render("é{{ 'a' + 1 }}")), "test:1:9: can only concatenate str (not \"int\") to str");
  EXPECT_EQ(message_of(render("{{ raise_exception('Only user roles!') }}")), "test:1:19: Only user roles!");
  EXPECT_THAT(message_of(render("{{ 1|frobnicate }}")), HasSubstr("No filter named 'frobnicate'"));
  EXPECT_EQ(render("{% include 'x' %}").error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(render("{{ 1 + }}").error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(render("{{ raise_exception('x') }}").error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(render("\xff").ok());
  EXPECT_FALSE(render("x", Json("no object")).ok());
}

// ---------------------------------------------------------------- limits

TEST(ChatTemplateLimits, RefuseWhatWouldNotFit) {
  for (const char* source :
       {"{{ 'a' * 10 ** 12 }}",
        "{{ [1] * 10 ** 12 }}",
        "{{ 'a' * 9223372036854775807 }}",
        "{{ 'a'|center(10 ** 12) }}",
        "{{ 'a'.zfill(10 ** 15) }}",
        "{{ '%1000000000s' % 'a' }}",
        "{{ '{:999999999}'.format(1) }}",
        "{{ 'a\nb'|indent(10 ** 12) }}",
        "{{ ('a' * 100000).replace('a', 'b' * 100000) }}",
        "{{ ('b' * 100000).join('a' * 100000) }}",
        "{{ ['b' * 100000] * 1000000 }}",
        "{{ '\t'.expandtabs(10 ** 12) }}",
        "{{ [[1]]|slice(10 ** 12)|list }}",
        "{{ [1]|batch(10 ** 12, 'x')|list }}",
        "{{ d|tojson(indent=10 ** 9) }}",
        "{{ d|tojson(indent='x' * 100000000) }}",
        "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s=['ab']) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s]|string %}{% endfor %}",
        "{% set x = 'ab' * 1000000 %}{% set l = [] %}{% for i in range(1000) %}{% set _ = l.append(x ~ i) %}{% endfor "
        "%}",
        "{% for i in range(100000) %}{{ 'a' * 10000 }}{% endfor %}"}) {
    RenderLimits limits;
    limits.max_memory_bytes = 16 << 20;
    limits.max_output_bytes = 4 << 20;
    const auto result = render(source, {{"d", {{"a", {1, 2}}}}}, limits);
    ASSERT_FALSE(result.ok()) << source;
    EXPECT_THAT(message_of(result), StartsWith("test:")) << source;
  }
}

TEST(ChatTemplateLimits, RefuseWhatWouldNotEnd) {
  for (const char* source :
       {"{% set l = [1] %}{% for x in l %}{% set _ = l.append(1) %}{% endfor %}",
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m() %}{% call m() %}{{ caller }}{% endcall %}{{ caller }}{% endmacro %}{{ m() }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% set s = 'a' * 10000000 %}{% for i in range(100000) %}{% if s + 'b' == s + 'c' %}{% endif %}{% endfor %}",
        "{% set s = 'a' * 1000000 %}{% set t = 'a' * 500000 ~ 'b' %}{% for i in range(100000) %}{{ s.find(t) }}{% "
        "endfor %}"}) {
    const auto result = render(source);
    ASSERT_FALSE(result.ok()) << source;
    EXPECT_THAT(message_of(result),
                ::testing::AnyOf(HasSubstr("steps"), HasSubstr("nests deeper"), HasSubstr("need more than")))
        << source;
  }
}

TEST(ChatTemplateLimits, RefuseDeepSources) {
  const auto repeated = [](std::string_view text, int times) {
    std::string out;
    for (int i = 0; i < times; ++i) out += text;
    return out;
  };
  for (const std::string& source :
       {"{{ " + repeated("(", 100000) + " }}", "{{ " + repeated("[", 100000) + " }}",
        "{{ " + repeated("-", 100000) + "1 }}", "{{ " + repeated("not ", 100000) + "1 }}",
        "{{ 1" + repeated("+1", 100000) + " }}", "{{ a" + repeated(".b", 100000) + " }}",
        "{{ a" + repeated("|e", 100000) + " }}", repeated("{% if 1 %}", 40000),
        "{{ a" + repeated("[0]", 100000) + " }}", "{{ f" + repeated("()", 100000) + " }}",
        "{{ " + repeated("a if ", 100000) + " }}", "{{ " + repeated("1 if 1 else ", 40000) + "1 }}",
        "{% set " + repeated("(", 100000) + " %}", "{{ a" + repeated(" is b", 100000) + " }}",
        "{{ " + repeated("{1:", 100000) + " }}", "{{ 'x'|map(" + repeated("'map',", 60000) + "'e')|list }}"}) {
    const auto result = render(source);
    EXPECT_FALSE(result.ok()) << source.substr(0, 40);
  }
  EXPECT_FALSE(ChatTemplate::parse(std::string(1 << 20, 'x'), "big").ok());
}

TEST(ChatTemplateLimits, DeepAndCyclicValuesDie) {
  // Deeply nested values are freed without recursion, and cycles are broken (the leak checker watches).
  EXPECT_EQ(*render("{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}ok"),
            "ok");
  EXPECT_EQ(
      *render(
          "{% set ns = namespace(x={}) %}{% for i in range(100000) %}{% set ns.x = {'k': (ns.x,)} %}{% endfor %}ok"),
      "ok");
  EXPECT_EQ(*render("{% set l = [] %}{% set _ = l.append(l) %}{% set d = {} %}{% set _ = d.update(d=d, l=l) %}ok"),
            "ok");
  EXPECT_FALSE(render("{% set l = [] %}{% set _ = l.append(l) %}{{ l }}").ok());
  EXPECT_FALSE(render("{% set l = [] %}{% set _ = l.append(l) %}{{ l|tojson }}").ok());
  EXPECT_FALSE(
      render("{% set a = [] %}{% set _ = a.append(a) %}{% set b = [] %}{% set _ = b.append(b) %}{{ a == b }}").ok());
  EXPECT_FALSE(render("{% set ns = namespace(x=()) %}{% for i in range(100000) %}{% set ns.x = (ns.x,) %}{% endfor "
                      "%}{{ {ns.x: 1} }}")
                   .ok());
  EXPECT_EQ(*render("{% set ns = namespace() %}{% macro m() %}{% endmacro %}{% set ns.m = m %}{% for i in [1] %}{% set "
                    "ns.l = loop %}{% endfor %}{{ ns.l.index }}"),
            "1");
}

TEST(ChatTemplateLimits, FollowTheCaller) {
  RenderLimits limits;
  limits.max_output_bytes = 10;
  EXPECT_TRUE(render("{{ 'a' * 10 }}", {}, limits).ok());
  EXPECT_EQ(render("{{ 'a' * 11 }}", {}, limits).error().code, ErrorCode::kOutOfMemory);
  limits = {};
  limits.max_steps = 1000;
  EXPECT_FALSE(render("{% for i in range(2000) %}{% endfor %}", {}, limits).ok());
  limits = {};
  limits.max_memory_bytes = 100000;
  EXPECT_TRUE(render("{% set x = 'a' * 50000 %}", {}, limits).ok());
  EXPECT_EQ(render("{% set x = 'a' * 200000 %}", {}, limits).error().code, ErrorCode::kOutOfMemory);
  EXPECT_FALSE(render("{{ x }}", {{"x", std::string(200000, 'x')}}, limits).ok());
  // Memory that is let go of may be used again.
  EXPECT_EQ(*render("{% for i in range(50) %}{% set x = 'a' * 50000 %}{% endfor %}ok", {}, limits), "ok");
}

}  // namespace
}  // namespace nibble
