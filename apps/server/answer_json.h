// The parts of answers' JSON that chats and completions share.
#pragma once

#include <string>
#include <string_view>

#include "answer.h"
#include "base/json.h"

namespace nibble::server {

/// As JSON text; bytes that are no UTF-8 become U+FFFD.
std::string json_text(const Json& json);
/// {"id": ..., "object": ..., "created": ..., "model": ..., "system_fingerprint": ...}
Json head_json(const AnswerHead& head, std::string_view object);
Json usage_json(const Usage& usage);
/// llama-server's "timings", of a single answer; null of several.
Json timings_json(const std::vector<Answer>& answers);
/// "stop" or "length"
std::string_view finish_reason(const Outcome& outcome);
/// A probability's logarithm as OpenAI gives it: -9999 for none.
double logprob_number(float logprob);
/// Adds a value to the text between a list's brackets.
void append_item(std::string& items, std::string_view json);
/// An object's text with one more member, whose value is text already.
std::string with_member(std::string object, std::string_view name, std::string_view json);
std::string event_text(const std::string& json);

}  // namespace nibble::server
