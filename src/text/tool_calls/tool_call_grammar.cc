#include "text/tool_calls/tool_call_grammar.h"

#include <algorithm>

#include "base/utf8.h"

namespace nibble {
namespace {

constexpr std::size_t kMaxNameBytes = 64;
constexpr std::size_t kMaxTools = 512;

/// The schema of a function's arguments, as one of objects.
Json arguments_schema(const Json& function) {
  const auto parameters = function.find("parameters");
  if (parameters == function.end() || parameters->is_null() || (parameters->is_object() && parameters->empty()))
    return {{"type", "object"}, {"additionalProperties", false}};
  Json schema = *parameters;
  if (schema == true) schema = Json::object();
  if (schema.is_object() && !schema.contains("type")) schema["type"] = "object";
  return schema;
}

}  // namespace

Result<std::vector<std::string>> function_names(const Json& tools) {
  if (!tools.is_array() || tools.empty() || tools.size() > kMaxTools)
    return fail(ErrorCode::kInvalidArgument, "tools: expected a list of 1 to {} tools", kMaxTools);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < tools.size(); ++i) {
    const Json& tool = tools[i];
    const bool is_function = tool.is_object() && tool.contains("type") && tool.at("type") == "function" &&
                             tool.contains("function") && tool.at("function").is_object();
    if (!is_function)
      return fail(ErrorCode::kInvalidArgument, "tools[{}]: expected {{\"type\": \"function\", \"function\": {{...}}}}",
                  i);
    const auto name = tool.at("function").find("name");
    if (name == tool.at("function").end() || !name->is_string())
      return fail(ErrorCode::kInvalidArgument, "tools[{}].function.name: expected a string", i);
    const auto text = name->get<std::string>();
    if (text.empty() || text.size() > kMaxNameBytes || !is_utf8(text))
      return fail(ErrorCode::kInvalidArgument, "tools[{}].function.name: expected 1 to {} bytes of UTF-8", i,
                  kMaxNameBytes);
    if (std::find(names.begin(), names.end(), text) != names.end())
      return fail(ErrorCode::kInvalidArgument, "tools[{}].function.name: \"{}\" is the name of two functions", i,
                  printable(text));
    names.push_back(text);
  }
  return names;
}

Result<std::shared_ptr<const Grammar>> tool_call_grammar(ToolCallStyle style, const Json& tools,
                                                         const ToolCallGrammarOptions& options) {
  if (style == ToolCallStyle::kNone)
    return fail(ErrorCode::kUnsupported, "tool_choice: the model's chat template has no tool calls that Nibble knows");
  NIBBLE_TRY(const std::vector<std::string> names, function_names(tools));
  if (options.function && std::find(names.begin(), names.end(), *options.function) == names.end())
    return fail(ErrorCode::kNotFound, "tool_choice: \"{}\" is none of the tools: {}", printable(*options.function),
                fmt::join(names, ", "));
  const bool is_hermes = style == ToolCallStyle::kHermes;
  GrammarBuilder builder(options.limits.grammar);
  JsonGrammar json(builder);
  std::vector<GrammarBuilder::Expression> calls;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (options.function && names[i] != *options.function) continue;
    const Json schema = arguments_schema(tools[i].at("function"));
    const std::string what = fmt::format("tools[{}].function.parameters (\"{}\")", i, printable(names[i]));
    NIBBLE_TRY(const auto arguments, SchemaCompiler(json, schema, what, options.limits).compile());
    calls.push_back(builder.sequence({json.literal("{\"name\": \""), json.string_content(names[i]),
                                      json.literal(is_hermes ? "\", \"arguments\": " : "\", \"parameters\": "),
                                      arguments, json.literal("}")}));
  }
  GrammarBuilder::Expression answer = builder.choice(std::move(calls));
  if (is_hermes) {
    const auto call = builder.as_rule(
        "tool call", builder.sequence({json.literal("<tool_call>\n"), answer, json.literal("\n</tool_call>")}));
    const std::uint64_t more = std::max<std::uint64_t>(options.max_calls, 1) - 1;
    answer = builder.sequence({call, builder.repeat(builder.sequence({json.literal("\n"), call}), 0, more)});
  }
  const auto root = builder.declare("tool calls");
  builder.define(root, answer);
  auto grammar = builder.build(root);
  if (!grammar.ok()) return with_context(grammar.error(), "tools");
  return grammar;
}

}  // namespace nibble
