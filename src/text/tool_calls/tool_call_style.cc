#include "text/tool_calls/tool_call_style.h"

#include <string>

namespace nibble {

ToolCallStyle tool_call_style(std::string_view chat_template) {
  const auto has = [&](std::string_view text) { return chat_template.find(text) != std::string_view::npos; };
  // Quotes are escaped where the template writes the example in a string of double quotes.
  const auto has_member = [&](std::string_view name) {
    for (const std::string_view quote : {"\"", "\\\""}) {
      std::string member(quote);
      member.append(name).append(quote).append(": ");
      if (has(member)) return true;
    }
    return false;
  };
  if (has("<tool_call>")) {
    // Some write XML or other forms between the same tags.
    const bool other = has("<function=") || has("<arg_key>") || has("<parameter") || has("<invoke");
    return !other && has_member("name") && has_member("arguments") ? ToolCallStyle::kHermes : ToolCallStyle::kNone;
  }
  if (has("<|start_header_id|>") && has("{\"name\": ") && has_member("parameters")) return ToolCallStyle::kLlama3;
  return ToolCallStyle::kNone;
}

}  // namespace nibble
