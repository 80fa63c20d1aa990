// /tokenize and /detokenize, with the fields of llama-server and of vLLM.
#pragma once

#include "base/json.h"
#include "http_message.h"
#include "served_models.h"

namespace nibble::server {

/// {"content" or "prompt": text, or "messages": [...], "add_special", "parse_special", "with_pieces"}
HttpReply tokenize_reply(const Json& body, const ServedModel& model);
/// {"tokens": [...]}
HttpReply detokenize_reply(const Json& body, const ServedModel& model);

}  // namespace nibble::server
