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

/// Members are appended: to look each of them up would take the square of their number.
void erase_what_is_not_there(Json& message) {
  Json kept = Json::object();
  auto& members = static_cast<Json::object_t::Container&>(kept.get_ref<Json::object_t&>());
  for (auto& [name, value] : message.get_ref<Json::object_t&>())
    if (!value.is_null() && !(name == "tool_calls" && value.is_array() && value.empty()))
      members.emplace_back(name, std::move(value));
  message = std::move(kept);
}

bool knows_developers(std::string_view chat_template) {
  return chat_template.find("'developer'") != std::string_view::npos ||
         chat_template.find("\"developer\"") != std::string_view::npos;
}

}  // namespace

Json messages_for_template(Json messages, std::string_view chat_template) {
  if (!messages.is_array()) return messages;
  const bool has_developers = knows_developers(chat_template);
  for (Json& message : messages) {
    if (!message.is_object()) continue;
    erase_what_is_not_there(message);
    if (!has_developers && message.contains("role") && message["role"] == "developer") message["role"] = "system";
    const bool calls = message.contains("tool_calls") && message["tool_calls"].is_array();
    if (calls) {
      for (Json& call : message["tool_calls"]) open_arguments(call);
      if (!message.contains("content")) message["content"] = "";
    }
    if (message.contains("content") && message["content"].is_array()) join_texts(message["content"]);
  }
  return messages;
}

}  // namespace nibble
