// Models and their tokens in the C interface.
#include <optional>

#include "api/c_interface/handles.h"
#include "api/c_interface/options.h"
#include "base/json.h"
#include "nibble/inspect.h"

namespace nibble::c {

Result<std::shared_ptr<Engine>> SharedModel::engine() {
  const std::lock_guard lock(mutex_);
  if (engine_ == nullptr) {
    NIBBLE_TRY(engine_, Engine::create(model_, options_));
  }
  return engine_;
}

std::shared_ptr<Engine> SharedModel::engine_if_made() {
  const std::lock_guard lock(mutex_);
  return engine_;
}

namespace {

Result<std::vector<ChatMessage>> messages_of(const char* text) {
  const char* const what = "messages";
  NIBBLE_TRY(const Json json, parse_untrusted(text, what));
  if (!json.is_array() || json.empty())
    return fail(ErrorCode::kInvalidArgument, "{}: a list of objects with role and content is wanted", what);
  std::vector<ChatMessage> messages;
  for (const Json& item : json) {
    const std::string name = fmt::format("{}[{}]", what, messages.size());
    if (!item.is_object()) return fail(ErrorCode::kInvalidArgument, "{}: is no object", name);
    std::optional<std::string> fields[2];
    for (const auto& [key, value] : item.items()) {
      if (key != "role" && key != "content")
        return fail(ErrorCode::kUnsupported, "{}: \"{}\" is unknown; known: role, content", name, key);
      if (!value.is_string()) return fail(ErrorCode::kUnsupported, "{}: {} has to be a string", name, key);
      fields[key == "role" ? 0 : 1] = value.get<std::string>();
    }
    if (!fields[0] || !fields[1]) return fail(ErrorCode::kInvalidArgument, "{}: role and content are wanted", name);
    messages.push_back({*fields[0], *fields[1]});
  }
  return messages;
}

Status give_ids(std::span<const std::int32_t> made, int32_t** ids, size_t* count) {
  *ids = handed_out(made);
  *count = made.size();
  return {};
}

}  // namespace
}  // namespace nibble::c

using nibble::Result;
using nibble::Status;
using namespace nibble::c;  // NOLINT: the functions of this file are the interface

nibble_status nibble_model_load(const char* path, const nibble_load_options* options, nibble_model** model) {
  return guarded([&]() -> Status {
    NIBBLE_TRY_STATUS(need(path, "path"));
    NIBBLE_TRY_STATUS(need(model, "model"));
    NIBBLE_TRY_STATUS(nibble::check_isa());
    NIBBLE_TRY(const nibble::LoadOptions load, load_options(options));
    NIBBLE_TRY(const nibble::EngineOptions engine, engine_options(options));
    NIBBLE_TRY(std::shared_ptr<nibble::Model> loaded, nibble::Model::load(path, load));
    *model = new nibble_model{std::make_shared<SharedModel>(std::move(loaded), engine)};
    return {};
  });
}

void nibble_model_free(nibble_model* model) { delete model; }

const char* nibble_model_architecture(const nibble_model* model) { return model->shared->architecture().c_str(); }
int64_t nibble_model_context(const nibble_model* model) { return model->shared->model().context(); }
int64_t nibble_model_vocab_size(const nibble_model* model) { return model->shared->model().vocab_size(); }
int64_t nibble_model_packed_bytes(const nibble_model* model) { return model->shared->model().packed_bytes(); }
int32_t nibble_model_has_chat_template(const nibble_model* model) {
  return model->shared->model().has_chat_template() ? 1 : 0;
}

nibble_status nibble_model_get_stats(nibble_model* model, nibble_model_stats* stats) {
  return guarded([&]() -> Status {
    NIBBLE_TRY_STATUS(need(model, "model"));
    const std::shared_ptr<nibble::Engine> engine = model->shared->engine_if_made();
    const nibble::EngineStats is = engine ? engine->stats() : nibble::EngineStats{};
    nibble_model_stats out{};
    out.running = is.running;
    out.waiting = is.waiting;
    out.accepted = is.requests_accepted;
    out.finished = is.requests_finished;
    out.cancelled = is.requests_cancelled;
    out.failed = is.requests_failed;
    out.prompt_tokens = is.prompt_tokens;
    out.cached_tokens = is.cached_tokens;
    out.generated_tokens = is.generated_tokens;
    return give_sized(stats, out, "nibble_model_stats");
  });
}

nibble_status nibble_tokenize(const nibble_model* model, const char* text, size_t length, int32_t add_special,
                              int32_t parse_special, int32_t** ids, size_t* count) {
  return guarded([&]() -> Status {
    NIBBLE_TRY_STATUS(need(model, "model"));
    NIBBLE_TRY_STATUS(need(ids, "ids"));
    NIBBLE_TRY_STATUS(need(count, "count"));
    NIBBLE_TRY(const std::span<const char> bytes, span_of(text, length, "text"));
    NIBBLE_TRY(const std::vector<std::int32_t> made,
               model->shared->model().tokenize({bytes.data(), bytes.size()}, add_special != 0, parse_special != 0));
    return give_ids(made, ids, count);
  });
}

nibble_status nibble_detokenize(const nibble_model* model, const int32_t* ids, size_t count, char** text,
                                size_t* length) {
  return guarded([&]() -> Status {
    NIBBLE_TRY_STATUS(need(model, "model"));
    NIBBLE_TRY_STATUS(need(text, "text"));
    NIBBLE_TRY_STATUS(need(length, "length"));
    NIBBLE_TRY(const std::span<const std::int32_t> given, span_of(ids, count, "ids"));
    const std::string made = model->shared->model().detokenize({given.begin(), given.end()});
    *text = handed_out(made);
    *length = made.size();
    return {};
  });
}

nibble_status nibble_chat_prompt(const nibble_model* model, const char* messages_json, int32_t** ids, size_t* count) {
  return guarded([&]() -> Status {
    NIBBLE_TRY_STATUS(need(model, "model"));
    NIBBLE_TRY_STATUS(need(messages_json, "messages_json"));
    NIBBLE_TRY_STATUS(need(ids, "ids"));
    NIBBLE_TRY_STATUS(need(count, "count"));
    NIBBLE_TRY(const std::vector<nibble::ChatMessage> messages, messages_of(messages_json));
    NIBBLE_TRY(const std::vector<std::int32_t> made, model->shared->model().chat_prompt(messages));
    return give_ids(made, ids, count);
  });
}
