#include "text/tool_calls/tool_messages.h"

#include <string>

namespace nibble {
namespace {

void open_arguments(Json& call) {
  if (!call.is_object() || !call.contains("function") || !call["function"].is_object()) return;
  Json& function = call["function"];
  if (!function.contains("arguments") || !function["arguments"].is_string()) return;
  const auto parsed = parse_untrusted(function["arguments"].get_ref<const std::string&>(), "arguments");
  if (parsed.ok() && parsed->is_object()) function["arguments"] = *parsed;
}

void join_texts(Json& content) {
  std::string joined;
  for (const Json& part : content) {
    const bool is_text = part.is_object() && part.contains("type") && part["type"] == "text" && part.contains("text") &&
                         part["text"].is_string();
    if (!is_text) return;
    joined += part["text"].get_ref<const std::string&>();
  }
  content = joined;
}

}  // namespace

Json messages_for_template(Json messages) {
  if (!messages.is_array()) return messages;
  for (Json& message : messages) {
    if (!message.is_object()) continue;
    const bool calls = message.contains("tool_calls") && message["tool_calls"].is_array();
    if (calls) {
      for (Json& call : message["tool_calls"]) open_arguments(call);
      if (!message.contains("content") || message["content"].is_null()) message["content"] = "";
    }
    if (message.contains("content") && message["content"].is_array()) join_texts(message["content"]);
  }
  return messages;
}

}  // namespace nibble
