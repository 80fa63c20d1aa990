// Messages of a request in the form that chat templates were written for.
#pragma once

#include <string_view>

#include "base/json.h"

namespace nibble {

/// OpenAI's messages as templates take them:
/// - a tool call's arguments, a string of JSON there, as the object it stands for (other strings stay);
/// - content that is null or absent beside tool calls as "";
/// - content that is a list of text parts as their texts, joined;
/// - without members that are null, and without tool_calls that are an empty list: clients write them down, and
///   templates ask whether they are there;
/// - of the role "developer" as of "system", unless the template has the word in quotes.
/// What is not of these forms is left as it is; templates say what they refuse.
Json messages_for_template(Json messages, std::string_view chat_template);

}  // namespace nibble
