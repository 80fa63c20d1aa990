// Bodies of /v1/chat/completions.
#include <ctime>

#include "requests.h"

namespace nibble::server {
namespace {

constexpr int kMaxLogprobs = 20;

int read_logprobs(RequestFields& fields) {
  const bool wanted = fields.boolean("logprobs").value_or(false);
  const auto top = fields.integer("top_logprobs", 0, kMaxLogprobs);
  if (top && *top > 0 && !wanted) fields.fail("top_logprobs", "needs logprobs to be true");
  return wanted ? static_cast<int>(top.value_or(0)) : -1;
}

void read_tool_choice(RequestFields& fields, ChatRequest& chat) {
  const Json* choice = fields.find("tool_choice");
  if (choice == nullptr) return;
  if (choice->is_string()) {
    const auto& name = choice->get_ref<const std::string&>();
    if (name == "none") {
      chat.tool_choice = ToolChoice::kNone;
    } else if (name == "required") {
      chat.tool_choice = ToolChoice::kRequired;
    } else if (name != "auto") {
      return fields.fail("tool_choice", "expected none, auto, required or a function");
    }
  } else {
    const Json* function = choice->is_object() ? RequestFields(*choice).find("function") : nullptr;
    const Json* name = function != nullptr && function->is_object() ? RequestFields(*function).find("name") : nullptr;
    if (name == nullptr || !name->is_string() || name->get_ref<const std::string&>().empty())
      return fields.fail("tool_choice", "expected {\"type\": \"function\", \"function\": {\"name\": ...}}");
    chat.tool_choice = ToolChoice::kRequired;
    chat.function = name->get<std::string>();
  }
  if (chat.tools.empty() && chat.tool_choice == ToolChoice::kRequired)
    fields.fail("tool_choice", "there are no tools to choose from");
}

ChatRequest read_conversation(RequestFields& fields) {
  ChatRequest chat;
  if (const Json* messages = fields.list("messages")) {
    chat.messages = messages->dump();
  } else {
    fields.fail("messages", "missing");
  }
  for (const char* old : {"functions", "function_call"})
    if (fields.find(old) != nullptr) fields.fail(old, "no longer supported by OpenAI's interface; use tools");
  if (const Json* tools = fields.list("tools"); tools != nullptr && !tools->empty()) chat.tools = tools->dump();
  read_tool_choice(fields, chat);
  chat.parallel_tool_calls = fields.boolean("parallel_tool_calls").value_or(true);
  if (const Json* arguments = fields.object("chat_template_kwargs")) chat.template_arguments = arguments->dump();
  chat.add_generation_prompt = fields.boolean("add_generation_prompt").value_or(true);
  return chat;
}

/// Prompt, readers and constraint.
std::optional<ApiError> prepare(const ChatRequest& chat, const ServedModel& model, GenerationJob& job) {
  Result<ChatPrompt> prompt = model.chat->prompt(chat);
  if (!prompt.ok()) return api_error_of(prompt.error());
  job.prompts.push_back({std::move(prompt->tokens), ""});
  if (job.prompts.front().tokens.empty()) return invalid_field("messages", "they make an empty prompt");
  if (auto error = check_length(job.prompts.front(), model, "messages")) return error;
  if (!prompt->reads_tool_calls) return {};
  job.options.skip_special = false;
  if (prompt->constraint) job.constraint = std::move(prompt->constraint);
  for (std::int64_t i = 0; i < job.text.n; ++i) {
    auto reader = model.chat->answer_reader(chat, new_id("call_"));
    if (!reader.ok()) return api_error_of(reader.error());
    job.readers.push_back(std::move(*reader));
  }
  return {};
}

}  // namespace

std::optional<ApiError> read_chat(const Json& body, const ServedModel& model, const RequestDefaults& defaults,
                                  GenerationJob& job) {
  RequestFields fields(body);
  const ChatRequest chat = read_conversation(fields);
  job.model = &model;
  job.text = read_text_fields(fields);
  job.options = read_sampling(fields, defaults.generate, model.model->vocab_size());
  // The newest name counts; the first is llama-server's.
  for (const char* name : {"n_predict", "max_tokens", "max_completion_tokens"})
    if (const auto max = read_max_tokens(fields, name)) job.options.max_tokens = *max;
  job.logprobs = read_logprobs(fields);
  if (fields.error()) return fields.error();
  job.constraint = read_constraint(fields, model);
  if (job.constraint && !chat.tools.empty() && chat.tool_choice != ToolChoice::kNone)
    fields.fail("tool_choice", "an answer that may call tools cannot be held to a schema; set tool_choice to none");
  if (fields.error()) return fields.error();
  if (auto error = prepare(chat, model, job)) return error;
  limit_logprobs(fields, defaults, job);
  if (fields.error()) return fields.error();
  job.format =
      chat_format({new_id("chatcmpl-"), std::time(nullptr), model.id, job.text.include_usage, job.logprobs >= 0});
  return {};
}

}  // namespace nibble::server
