// The Model that Model::load gives: a loaded model with its tokenizer and chat template.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/loaded_model.h"
#include "nibble/model.h"
#include "text/template/chat_template.h"
#include "text/tokenizer.h"

namespace nibble {

class ModelOnCpu final : public Model, public std::enable_shared_from_this<ModelOnCpu> {
 public:
  /// The template, if there is one, and its text.
  ModelOnCpu(LoadedModel loaded, std::shared_ptr<const Tokenizer> tokenizer, std::optional<ChatTemplate> chat,
             std::string chat_source)
      : loaded_(std::move(loaded)),
        tokenizer_(std::move(tokenizer)),
        chat_(std::move(chat)),
        chat_source_(std::move(chat_source)) {}

  std::unique_ptr<Session> new_session() override;
  Result<std::vector<std::int32_t>> tokenize(std::string_view text, bool add_special,
                                             bool parse_special) const override;
  std::string detokenize(const std::vector<std::int32_t>& ids) const override { return tokenizer_->decode(ids); }
  Result<std::vector<std::int32_t>> chat_prompt(const std::vector<ChatMessage>& messages) const override;
  bool has_chat_template() const override { return chat_.has_value(); }
  std::string architecture() const override { return std::string(loaded_.files->architecture().name); }
  std::int64_t context() const override { return loaded_.weights->context_length(); }
  std::int64_t vocab_size() const override { return loaded_.weights->config().vocab_size; }
  std::int64_t packed_bytes() const override { return static_cast<std::int64_t>(loaded_.weights->packed_bytes()); }
  double load_seconds() const override { return loaded_.seconds; }

  const LoadedModel& loaded() const { return loaded_; }
  const std::shared_ptr<const Tokenizer>& tokenizer() const { return tokenizer_; }
  const ChatTemplate* chat_template() const { return chat_ ? &*chat_ : nullptr; }
  const std::string& chat_template_source() const { return chat_source_; }
  /// What templates are told of the model.
  ChatOptions chat_options() const;

 private:
  LoadedModel loaded_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::optional<ChatTemplate> chat_;
  std::string chat_source_;
};

}  // namespace nibble
