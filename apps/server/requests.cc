// The parts that several kinds of requests share.
#include "requests.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

namespace nibble::server {
namespace {

void read_tokens(RequestFields& fields, std::string_view field, const Json& list, const ServedModel& model,
                 bool want_text, std::vector<Prompt>& prompts) {
  Prompt prompt;
  prompt.tokens.reserve(list.size());
  for (const Json& id : list) {
    const bool is_id = id.is_number_integer() && id >= 0 && id < model.model->vocab_size();
    if (!is_id)
      return fields.fail(field, fmt::format("expected token ids from 0 to {}", model.model->vocab_size() - 1));
    prompt.tokens.push_back(id.get<std::int32_t>());
  }
  if (want_text) prompt.text = model.model->detokenize(prompt.tokens);
  prompts.push_back(std::move(prompt));
}

void read_text(RequestFields& fields, const std::string& text, const ServedModel& model, bool want_text,
               std::vector<Prompt>& prompts) {
  Prompt prompt;
  auto tokens = model.model->tokenize(text, true, true);
  if (!tokens.ok()) return fields.fail(api_error_of(tokens.error()));
  prompt.tokens = std::move(*tokens);
  if (want_text) prompt.text = text;
  prompts.push_back(std::move(prompt));
}

}  // namespace

std::vector<Prompt> read_prompts(RequestFields& fields, std::string_view field, std::size_t max,
                                 const ServedModel& model, bool want_text) {
  std::vector<Prompt> prompts;
  const Json* value = fields.find(field);
  if (value == nullptr) {
    fields.fail(field, "missing");
  } else if (value->is_string()) {
    read_text(fields, value->get_ref<const std::string&>(), model, want_text, prompts);
  } else if (!value->is_array() || value->empty()) {
    fields.fail(field, "expected a text, a list of texts, a list of token ids, or a list of such lists");
  } else if (value->front().is_number()) {
    read_tokens(fields, field, *value, model, want_text, prompts);
  } else if (value->size() > max) {
    fields.fail(field, fmt::format("a list of {}, at most {} are allowed", value->size(), max));
  } else {
    for (const Json& one : *value) {
      if (one.is_string()) {
        read_text(fields, one.get_ref<const std::string&>(), model, want_text, prompts);
      } else if (one.is_array()) {
        read_tokens(fields, field, one, model, want_text, prompts);
      } else {
        fields.fail(field, "expected a text, a list of texts, a list of token ids, or a list of such lists");
      }
      if (fields.error()) break;
    }
  }
  for (const Prompt& prompt : prompts) {
    if (fields.error()) break;
    if (prompt.tokens.empty()) {
      fields.fail(field, "an empty prompt");
    } else if (auto error = check_length(prompt, model, field)) {
      fields.fail(std::move(*error));
    }
  }
  return prompts;
}

std::optional<ApiError> check_length(const Prompt& prompt, const ServedModel& model, std::string_view field) {
  const auto tokens = std::ssize(prompt.tokens);
  if (tokens < model.model->context()) return {};
  ApiError error = invalid_field(
      std::string(field),
      fmt::format("{} tokens, and the model's context is {} with the answer", tokens, model.model->context()));
  error.code = "context_length_exceeded";
  return error;
}

void limit_logprobs(RequestFields& fields, const RequestDefaults& defaults, GenerationJob& job) {
  job.max_whole_logprobs = defaults.max_whole_logprobs;
  if (job.logprobs < 0 || job.text.stream) return;
  const std::int64_t answers = std::ssize(job.prompts) * job.text.n;
  const std::int64_t tokens = std::min(job.options.max_tokens, job.model->model->context());
  if (answers * tokens * (1 + job.logprobs) <= job.max_whole_logprobs) return;
  ApiError error = api_error_of({ErrorCode::kInvalidArgument, too_many_logprobs(job.max_whole_logprobs)});
  error.param = "logprobs";
  fields.fail(std::move(error));
}

std::string new_id(std::string_view prefix) {
  static constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  static thread_local std::mt19937_64 random{std::random_device{}()};
  std::string id(prefix);
  for (int i = 0; i < 24; ++i) id += kLetters[random() % kLetters.size()];
  return id;
}

}  // namespace nibble::server
