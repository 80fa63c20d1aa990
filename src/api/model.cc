// nibble/model.h
#include "nibble/model.h"

#include <chrono>

#include "api/boundary.h"
#include "api/heartbeat.h"
#include "api/model_on_cpu.h"
#include "api/model_path.h"
#include "model/text_assets.h"
#include "run/generator.h"

namespace nibble {
namespace {

class ModelSession final : public Session {
 public:
  ModelSession(std::shared_ptr<Model> keep_alive, CpuExecutor& executor, std::shared_ptr<const Tokenizer> tokenizer)
      : keep_alive_(std::move(keep_alive)), generator_(executor, std::move(tokenizer)) {}
  Result<GenerateReport> generate(const std::vector<std::int32_t>& prompt, const GenerateOptions& options,
                                  const TextSink& sink) override {
    return at_boundary([&] { return generator_.generate(prompt, options, sink); });
  }

 private:
  std::shared_ptr<Model> keep_alive_;
  Generator generator_;
};

}  // namespace

std::unique_ptr<Session> ModelOnCpu::new_session() {
  return std::make_unique<ModelSession>(shared_from_this(), *loaded_.executor, tokenizer_);
}

Result<std::vector<std::int32_t>> ModelOnCpu::tokenize(std::string_view text, bool add_special,
                                                       bool parse_special) const {
  return at_boundary([&] { return tokenizer_->encode(text, {add_special, parse_special}); });
}

ChatOptions ModelOnCpu::chat_options() const {
  ChatOptions options;
  if (const auto bos = tokenizer_->bos()) options.bos_token = tokenizer_->token_text(*bos);
  if (const auto eos = tokenizer_->eos()) options.eos_token = tokenizer_->token_text(*eos);
  return options;
}

Result<std::vector<std::int32_t>> ModelOnCpu::chat_prompt(const std::vector<ChatMessage>& messages) const {
  return at_boundary([&]() -> Result<std::vector<std::int32_t>> {
    if (!chat_)
      return fail(ErrorCode::kUnsupported, "{}: the model has no chat template; give a plain prompt with -p",
                  loaded_.files->path());
    Json list = Json::array();
    for (const ChatMessage& message : messages) list.push_back({{"role", message.role}, {"content", message.content}});
    ChatOptions options = chat_options();
    options.add_generation_prompt = true;
    NIBBLE_TRY(const std::string text, chat_->render_chat(list, options));
    // The template prints BOS itself where the model wants one.
    return tokenizer_->encode(text, {.add_special = false, .parse_special = true});
  });
}

Result<std::shared_ptr<Model>> Model::load(const std::string& path, const LoadOptions& given) {
  return at_boundary([&]() -> Result<std::shared_ptr<Model>> {
    LoadOptions options = given;
    const Heartbeat heartbeat(options.progress);
    const auto start = std::chrono::steady_clock::now();
    NIBBLE_TRY(const std::string found, model_path(path));
    NIBBLE_TRY(ModelFiles::Ptr files, ModelFiles::open(found));
    NIBBLE_TRY(TextAssets assets, read_text_assets(files->checkpoint()));
    NIBBLE_TRY(std::shared_ptr<const Tokenizer> tokenizer, Tokenizer::create(std::move(assets.tokenizer)));
    std::optional<ChatTemplate> chat;
    if (assets.chat_template) {
      // What it refuses later is told to clients of a server, who have no business with the path.
      Result<ChatTemplate> parsed = ChatTemplate::parse(*assets.chat_template, "chat_template");
      if (!parsed.ok()) return fail(parsed.error().code, "{}: {}", path, parsed.error().message);
      chat = std::move(*parsed);
    }
    NIBBLE_TRY(LoadedModel loaded, load_model(std::move(files), options));
    loaded.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return std::shared_ptr<Model>(std::make_shared<ModelOnCpu>(std::move(loaded), std::move(tokenizer), std::move(chat),
                                                               std::move(assets.chat_template).value_or("")));
  });
}

}  // namespace nibble
