#include "empty_model.h"

#include <ctime>
#include <utility>

#include "base/json.h"
#include "base/utf8.h"
#include "empty_engine.h"

namespace nibble::server {
namespace {

Error invalid(std::string message) { return {ErrorCode::kInvalidArgument, std::move(message)}; }

class EmptySession final : public Session {
 public:
  Result<GenerateReport> generate(const std::vector<std::int32_t>&, const GenerateOptions&, const TextSink&) override {
    return Error{ErrorCode::kUnsupported, "the empty model writes by its engine only"};
  }
};

class EmptyModel final : public Model {
 public:
  explicit EmptyModel(const EmptyModelOptions& options)
      : context_(options.context), on_tokenize_(options.on_tokenize) {}

  std::unique_ptr<Session> new_session() override { return std::make_unique<EmptySession>(); }
  Result<std::vector<std::int32_t>> tokenize(std::string_view text, bool, bool) const override {
    if (on_tokenize_) on_tokenize_(text);
    std::vector<std::int32_t> ids;
    ids.reserve(text.size());
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string detokenize(const std::vector<std::int32_t>& ids) const override {
    std::string bytes;
    for (const std::int32_t id : ids)
      if (id >= 0 && id < kEmptyModelEnd) bytes += static_cast<char>(id);
    return replace_malformed_utf8(bytes);
  }
  Result<std::vector<std::int32_t>> chat_prompt(const std::vector<ChatMessage>& messages) const override {
    std::string text;
    for (const ChatMessage& message : messages) text += message.role + ": " + message.content + "\n";
    return tokenize(text, true, true);
  }
  bool has_chat_template() const override { return true; }
  std::string architecture() const override { return "empty"; }
  std::int64_t context() const override { return context_; }
  std::int64_t vocab_size() const override { return kEmptyModelVocabulary; }
  std::int64_t packed_bytes() const override { return 0; }
  double load_seconds() const override { return 0; }

 private:
  std::int64_t context_;
  std::function<void(std::string_view)> on_tokenize_;
};

class PlainReader final : public AnswerReader {
 public:
  std::vector<AnswerPiece> feed(std::string_view text) override {
    if (text.empty()) return {};
    return {{AnswerPiece::Kind::kContent, 0, "", std::string(text), true}};
  }
  std::vector<AnswerPiece> finish() override { return {}; }
};

/// All text is the argument of one call.
class CallReader final : public AnswerReader {
 public:
  CallReader(std::string id, std::string function) : id_(std::move(id)), function_(std::move(function)) {}

  std::vector<AnswerPiece> feed(std::string_view text) override {
    std::vector<AnswerPiece> pieces;
    begin(pieces);
    const std::string quoted = Json(std::string(text)).dump();
    if (quoted.size() > 2) pieces.push_back(arguments(quoted.substr(1, quoted.size() - 2)));
    return pieces;
  }
  std::vector<AnswerPiece> finish() override {
    std::vector<AnswerPiece> pieces;
    begin(pieces);
    pieces.push_back(arguments("\"}"));
    pieces.push_back({AnswerPiece::Kind::kCallEnd, 0, "", "", true});
    return pieces;
  }

 private:
  void begin(std::vector<AnswerPiece>& pieces) {
    if (std::exchange(has_begun_, true)) return;
    pieces.push_back({AnswerPiece::Kind::kCallBegin, 0, id_, function_, true});
    pieces.push_back(arguments("{\"text\":\""));
  }
  static AnswerPiece arguments(std::string text) {
    return {AnswerPiece::Kind::kArguments, 0, "", std::move(text), true};
  }

  std::string id_;
  std::string function_;
  bool has_begun_ = false;
};

class EmptyChat final : public Chat {
 public:
  Result<ChatPrompt> prompt(const ChatRequest& request) override {
    const auto messages = parse_untrusted(request.messages, "messages");
    if (!messages.ok()) return messages.error();
    ChatPrompt prompt;
    for (const Json& message : *messages) {
      const Json* role = string_of(message, "role");
      const Json* content = string_of(message, "content");
      if (role == nullptr || content == nullptr) return invalid("messages: expected objects with role and content");
      prompt.text += role->get<std::string>() + ": " + content->get<std::string>() + "\n";
    }
    for (const char c : prompt.text) prompt.tokens.push_back(static_cast<unsigned char>(c));
    const auto function = function_of(request);
    if (!function.ok()) return function.error();
    prompt.reads_tool_calls = !function->empty();
    return prompt;
  }

  Result<std::unique_ptr<AnswerReader>> answer_reader(const ChatRequest& request, std::string id_prefix) override {
    auto function = function_of(request);
    if (!function.ok()) return function.error();
    if (function->empty()) return std::unique_ptr<AnswerReader>(std::make_unique<PlainReader>());
    return std::unique_ptr<AnswerReader>(std::make_unique<CallReader>(id_prefix + "0", std::move(*function)));
  }

  Result<ConstraintMaker> json_object() override { return ConstraintMaker(none); }
  Result<ConstraintMaker> json_schema(std::string_view schema, std::string_view what) override {
    const auto parsed = parse_untrusted(schema, what);
    if (!parsed.ok()) return parsed.error();
    return ConstraintMaker(none);
  }

 private:
  static std::unique_ptr<TokenConstraint> none() { return nullptr; }

  static const Json* string_of(const Json& object, const char* name) {
    if (!object.is_object()) return nullptr;
    const auto found = object.find(name);
    return found != object.end() && found->is_string() ? &*found : nullptr;
  }

  /// The function that an answer calls; empty: none.
  static Result<std::string> function_of(const ChatRequest& request) {
    if (request.tools.empty() || request.tool_choice == ToolChoice::kNone) return std::string();
    const auto tools = parse_untrusted(request.tools, "tools");
    if (!tools.ok()) return tools.error();
    std::string first;
    for (const Json& tool : *tools) {
      const auto function = tool.is_object() ? tool.find("function") : tool.end();
      const Json* name = function != tool.end() ? string_of(*function, "name") : nullptr;
      if (name == nullptr || name->get_ref<const std::string&>().empty()) return invalid("tools: expected functions");
      if (request.function.empty() ? first.empty() : *name == request.function) first = name->get<std::string>();
    }
    if (first.empty()) return Error{ErrorCode::kNotFound, "tool_choice: no such function among the tools"};
    return first;
  }
};

}  // namespace

ServedModel empty_model(std::string id, const EmptyModelOptions& options) {
  ServedModel served;
  served.id = std::move(id);
  served.path = served.id;
  served.model = std::make_shared<EmptyModel>(options);
  served.chat = std::make_shared<EmptyChat>();
  served.engine = std::make_shared<EmptyEngine>(options);
  served.loaded_at = std::time(nullptr);
  return served;
}

}  // namespace nibble::server
