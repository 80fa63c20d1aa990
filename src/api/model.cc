// nibble/model.h
#include "nibble/model.h"

#include <chrono>

#include "api/boundary.h"
#include "api/loaded_model.h"
#include "api/model_path.h"
#include "model/text_assets.h"
#include "run/generator.h"
#include "text/template/chat_template.h"

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

class ModelOnCpu final : public Model, public std::enable_shared_from_this<ModelOnCpu> {
 public:
  ModelOnCpu(LoadedModel loaded, std::shared_ptr<const Tokenizer> tokenizer, std::optional<ChatTemplate> chat)
      : loaded_(std::move(loaded)), tokenizer_(std::move(tokenizer)), chat_(std::move(chat)) {}

  std::unique_ptr<Session> new_session() override {
    return std::make_unique<ModelSession>(shared_from_this(), *loaded_.executor, tokenizer_);
  }

  Result<std::vector<std::int32_t>> tokenize(std::string_view text, bool add_special,
                                             bool parse_special) const override {
    return at_boundary([&] { return tokenizer_->encode(text, {add_special, parse_special}); });
  }

  Result<std::vector<std::int32_t>> chat_prompt(const std::vector<ChatMessage>& messages) const override {
    return at_boundary([&]() -> Result<std::vector<std::int32_t>> {
      if (!chat_)
        return fail(ErrorCode::kUnsupported, "{}: the model has no chat template; give a plain prompt with -p",
                    loaded_.files->path());
      Json list = Json::array();
      for (const ChatMessage& message : messages)
        list.push_back({{"role", message.role}, {"content", message.content}});
      ChatOptions options;
      options.add_generation_prompt = true;
      if (const auto bos = tokenizer_->bos()) options.bos_token = tokenizer_->token_text(*bos);
      if (const auto eos = tokenizer_->eos()) options.eos_token = tokenizer_->token_text(*eos);
      NIBBLE_TRY(const std::string text, chat_->render_chat(list, options));
      // The template prints BOS itself where the model wants one.
      return tokenizer_->encode(text, {.add_special = false, .parse_special = true});
    });
  }

  bool has_chat_template() const override { return chat_.has_value(); }
  std::string architecture() const override { return std::string(loaded_.files->architecture().name); }
  std::int64_t context() const override { return loaded_.weights->context_length(); }
  std::int64_t packed_bytes() const override { return static_cast<std::int64_t>(loaded_.weights->packed_bytes()); }
  double load_seconds() const override { return loaded_.seconds; }

 private:
  LoadedModel loaded_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::optional<ChatTemplate> chat_;
};

}  // namespace

Result<std::shared_ptr<Model>> Model::load(const std::string& path, const LoadOptions& options) {
  return at_boundary([&]() -> Result<std::shared_ptr<Model>> {
    const auto start = std::chrono::steady_clock::now();
    NIBBLE_TRY(const std::string found, model_path(path));
    NIBBLE_TRY(ModelFiles::Ptr files, ModelFiles::open(found));
    NIBBLE_TRY(TextAssets assets, read_text_assets(files->checkpoint()));
    NIBBLE_TRY(std::shared_ptr<const Tokenizer> tokenizer, Tokenizer::create(std::move(assets.tokenizer)));
    std::optional<ChatTemplate> chat;
    if (assets.chat_template) {
      NIBBLE_TRY(chat, ChatTemplate::parse(*assets.chat_template, path + ": chat_template"));
    }
    NIBBLE_TRY(LoadedModel loaded, load_model(std::move(files), options));
    loaded.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return std::shared_ptr<Model>(
        std::make_shared<ModelOnCpu>(std::move(loaded), std::move(tokenizer), std::move(chat)));
  });
}

}  // namespace nibble
