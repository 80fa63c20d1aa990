// Grammars of answers that must call a tool: tool_choice "required", or the name of a function.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "text/grammar/json_schema.h"
#include "text/tool_calls/tool_call_style.h"

namespace nibble {

struct ToolCallGrammarOptions {
  std::optional<std::string> function;  ///< only this one
  /// Calls in one answer, at most; styles that know one only write one.
  std::uint64_t max_calls = 1;
  SchemaLimits limits;
};

/// The names of the functions of an OpenAI request's `tools`. Fails with kInvalidArgument when it is no list of
/// {"type": "function", "function": {"name": ..., "parameters": schema}} with distinct names of 1 to 64 bytes.
Result<std::vector<std::string>> function_names(const Json& tools);

/// The answers in the template's style that call tools with arguments of their schemas; arguments are always objects.
/// Fails as json_schema_grammar, naming the tool; with kUnsupported for kNone; with kNotFound when there is no such
/// function.
Result<std::shared_ptr<const Grammar>> tool_call_grammar(ToolCallStyle style, const Json& tools,
                                                         const ToolCallGrammarOptions& options = {});

}  // namespace nibble
