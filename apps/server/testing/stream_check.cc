#include "stream_check.h"

namespace nibble::server {
namespace {

const Json* member(const Json& json, const char* name) {
  if (!json.is_object()) return nullptr;
  const auto found = json.find(name);
  return found == json.end() ? nullptr : &*found;
}

bool is_error(const Json& json) {
  const Json* error = member(json, "error");
  if (error == nullptr) return false;
  const Json* message = member(*error, "message");
  const Json* type = member(*error, "type");
  const Json* param = member(*error, "param");
  const Json* code = member(*error, "code");
  return message != nullptr && message->is_string() && !message->get_ref<const std::string&>().empty() &&
         type != nullptr && type->is_string() && param != nullptr && (param->is_null() || param->is_string()) &&
         code != nullptr && (code->is_null() || code->is_string());
}

}  // namespace

bool is_error_object(std::string_view body) {
  const auto json = parse_untrusted(body, "answer");
  return json.ok() && is_error(*json);
}

void StreamCheck::fail(std::string problem) {
  if (problem_.empty()) problem_ = std::move(problem);
}

void StreamCheck::feed(std::string_view body) {
  buffer_ += body;
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = buffer_.find("\n\n", begin)) != std::string::npos; begin = end + 2)
    read_event(std::string_view(buffer_).substr(begin, end - begin));
  buffer_.erase(0, begin);
}

void StreamCheck::read_event(std::string_view event) {
  if (!event.empty() && event.front() == ':') return;  // a comment
  if (is_done_) return fail("an event after [DONE]");
  if (event.substr(0, 6) != "data: " || event.find('\n') != std::string_view::npos)
    return fail("an event without data");
  event.remove_prefix(6);
  if (event == "[DONE]") {
    is_done_ = true;
    return;
  }
  const auto json = parse_untrusted(event, "event");
  if (!json.ok()) return fail(json.error().message);
  if (is_error(*json)) {
    has_error_ = true;
    return;
  }
  const Json* object = member(*json, "object");
  const Json* choices = member(*json, "choices");
  if (object == nullptr || *object != (is_chat_ ? "chat.completion.chunk" : "text_completion"))
    return fail("an event of another kind: " + std::string(event));
  if (choices == nullptr || !choices->is_array()) return fail("an event without choices");
  for (const Json& choice : *choices) read_choice(choice);
}

void StreamCheck::read_choice(const Json& choice) {
  const Json* finish = member(choice, "finish_reason");
  if (member(choice, "index") == nullptr || finish == nullptr) return fail("a choice without index or finish_reason");
  has_finish_ = has_finish_ || finish->is_string();
  const Json* text = member(choice, "text");
  if (is_chat_) {
    const Json* delta = member(choice, "delta");
    if (delta == nullptr) return fail("a choice without delta");
    if (!has_role_ && member(*delta, "role") == nullptr) return fail("the first event has no role");
    has_role_ = true;
    text = member(*delta, "content");
    if (const Json* calls = member(*delta, "tool_calls"))
      for (const Json& call : *calls)
        if (const Json* function = member(call, "function")) text = member(*function, "arguments");
  } else if (text == nullptr) {
    return fail("a choice without text");
  }
  if (text == nullptr || !text->is_string() || text->get_ref<const std::string&>().empty()) return;
  text_ += text->get_ref<const std::string&>();
  ++pieces_;
}

std::string StreamCheck::finish() {
  if (!buffer_.empty()) fail("half an event at the end");
  if (!is_done_) fail("no [DONE]");
  if (!has_error_ && is_chat_ && !has_role_) fail("no role");
  if (!has_error_ && !has_finish_) fail("no finish_reason");
  return problem_;
}

}  // namespace nibble::server
