#include "token_requests.h"

#include "answer_json.h"
#include "request_fields.h"

namespace nibble::server {
namespace {

constexpr std::size_t kMaxTokens = std::size_t{1} << 20;

Result<std::vector<std::int32_t>> tokens_of(RequestFields& fields, const ServedModel& model) {
  if (const Json* messages = fields.list("messages")) {
    ChatRequest chat;
    chat.messages = messages->dump();
    chat.add_generation_prompt = fields.boolean("add_generation_prompt").value_or(true);
    auto prompt = model.chat->prompt(chat);
    if (!prompt.ok()) return prompt.error();
    return std::move(prompt->tokens);
  }
  std::optional<std::string> text = fields.string("content");
  const std::optional<std::string> prompt = fields.string("prompt");
  if (!text) text = prompt;
  if (!text) fields.fail("content", "missing");
  // vLLM's name, and its default; llama-server's.
  const bool is_vllm = fields.find("content") == nullptr;
  const bool add = fields.boolean(is_vllm ? "add_special_tokens" : "add_special").value_or(is_vllm);
  const bool parse = fields.boolean("parse_special").value_or(true);
  if (fields.error()) return std::vector<std::int32_t>();
  return model.model->tokenize(*text, add, parse);
}

}  // namespace

HttpReply tokenize_reply(const Json& body, const ServedModel& model) {
  RequestFields fields(body);
  const auto tokens = tokens_of(fields, model);
  const bool with_pieces = fields.boolean("with_pieces").value_or(false);
  if (fields.error()) return reply_of(*fields.error());
  if (!tokens.ok()) return reply_of(api_error_of(tokens.error()));
  if (tokens->size() > kMaxTokens)
    return reply_of(invalid_field(
        "content", std::to_string(tokens->size()) + " tokens, at most " + std::to_string(kMaxTokens) + " are listed"));
  // As text at once: a million tokens as JSON values take gigabytes.
  std::string list;
  for (const std::int32_t id : *tokens) {
    list += list.empty() ? "[" : ",";
    const std::string number = std::to_string(id);
    list += with_pieces ? "{\"id\":" + number + ",\"piece\":" + json_text(model.model->detokenize({id})) + "}" : number;
  }
  if (list.empty()) list = "[";
  return json_reply("{\"tokens\":" + list + "],\"count\":" + std::to_string(tokens->size()) +
                    ",\"max_model_len\":" + std::to_string(model.model->context()) + "}");
}

HttpReply detokenize_reply(const Json& body, const ServedModel& model) {
  RequestFields fields(body);
  const Json* tokens = fields.list("tokens");
  if (tokens == nullptr) {
    fields.fail("tokens", "missing");
  } else if (tokens->size() > kMaxTokens) {
    fields.fail("tokens", "more than " + std::to_string(kMaxTokens));
  }
  std::vector<std::int32_t> ids;
  for (const Json& id : fields.error() ? Json::array() : *tokens) {
    if (!id.is_number_integer() || id < 0 || id >= model.model->vocab_size()) {
      fields.fail("tokens", "expected token ids from 0 to " + std::to_string(model.model->vocab_size() - 1));
      break;
    }
    ids.push_back(id.get<std::int32_t>());
  }
  if (fields.error()) return reply_of(*fields.error());
  const std::string text = model.model->detokenize(ids);
  return json_reply(json_text({{"content", text}, {"prompt", text}}));
}

}  // namespace nibble::server
