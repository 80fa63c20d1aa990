// How models write tool calls, told from their chat template.
#pragma once

#include <string_view>

namespace nibble {

enum class ToolCallStyle {
  kNone,
  /// <tool_call>{"name": ..., "arguments": {...}}</tool_call>, any number of them behind text: Hermes, Qwen 2.5 and 3.
  kHermes,
  /// {"name": ..., "parameters": {...}} as the whole answer, or behind <|python_tag|>: Llama 3.1 and later.
  kLlama3,
};

/// kNone for templates without tools and for styles that Nibble does not read.
ToolCallStyle tool_call_style(std::string_view chat_template);

}  // namespace nibble
