// nibble/chat.h over the template, the tool calls and the grammars of text.
#include "nibble/chat.h"

#include <array>
#include <deque>
#include <mutex>
#include <utility>

#include "api/boundary.h"
#include "api/model_on_cpu.h"
#include "text/grammar/grammar_constraint.h"
#include "text/grammar/json_schema.h"
#include "text/tool_calls/tool_call_grammar.h"
#include "text/tool_calls/tool_call_parser.h"
#include "text/tool_calls/tool_messages.h"

namespace nibble {
namespace {

/// Grammars that are kept with what they found out; each holds at most GrammarMatcher::kMaxKeptBytes.
constexpr std::size_t kKeptGrammars = 8;
/// Calls in an answer that may hold several.
constexpr std::uint64_t kMaxCalls = 16;

class WholeAnswer final : public AnswerReader {
 public:
  std::vector<AnswerPiece> feed(std::string_view text) override {
    if (text.empty()) return {};
    AnswerPiece piece;
    piece.text = text;
    return {std::move(piece)};
  }
  std::vector<AnswerPiece> finish() override { return {}; }
};

/// Messages are objects with a role and, as their content, text; the template judges the rest.
Status check_messages(const Json& messages) {
  if (!messages.is_array() || messages.empty())
    return fail(ErrorCode::kInvalidArgument, "messages: expected a list of at least one message");
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const Json& message = messages[i];
    const auto role = message.is_object() ? message.find("role") : message.end();
    if (role == message.end() || !role->is_string())
      return fail(ErrorCode::kInvalidArgument, "messages[{}]: expected an object with a \"role\"", i);
    const auto content = message.find("content");
    if (content == message.end() || content->is_null()) {
      if (!message.contains("tool_calls"))
        return fail(ErrorCode::kInvalidArgument, "messages[{}].content: missing, and there are no tool_calls", i);
    } else if (content->is_array()) {
      return fail(ErrorCode::kUnsupported, "messages[{}].content: only parts of type \"text\" are supported", i);
    } else if (!content->is_string()) {
      return fail(ErrorCode::kInvalidArgument, "messages[{}].content: expected a string or a list of parts", i);
    }
  }
  return {};
}

/// What a client sent is its mistake, not a broken file.
Result<Json> parse_argument(std::string_view text, std::string_view what) {
  Result<Json> json = parse_untrusted(text, what);
  if (!json.ok()) return Error{ErrorCode::kInvalidArgument, json.error().message};
  return json;
}

class ChatOnModel final : public Chat {
 public:
  explicit ChatOnModel(std::shared_ptr<ModelOnCpu> model)
      : model_(std::move(model)), style_(tool_call_style(model_->chat_template_source())) {}

  Result<ChatPrompt> prompt(const ChatRequest& request) override {
    return at_boundary([&] { return make_prompt(request); });
  }

  Result<std::unique_ptr<AnswerReader>> answer_reader(const ChatRequest& request, std::string id_prefix) override {
    return at_boundary([&]() -> Result<std::unique_ptr<AnswerReader>> {
      if (!uses_tools(request)) return std::unique_ptr<AnswerReader>(std::make_unique<WholeAnswer>());
      NIBBLE_TRY(const Json tools, parse_argument(request.tools, "tools"));
      ToolCallParserOptions options;
      NIBBLE_TRY(options.functions, function_names(tools));
      options.id_prefix = std::move(id_prefix);
      if (!request.parallel_tool_calls) options.max_calls = 1;
      return std::unique_ptr<AnswerReader>(std::make_unique<ToolCallParser>(style_, std::move(options)));
    });
  }

  Result<ConstraintMaker> json_object() override {
    return at_boundary([&] { return maker("object", Vocabulary::kText, [] { return json_object_grammar(); }); });
  }

  Result<ConstraintMaker> json_schema(std::string_view schema, std::string_view what) override {
    return at_boundary([&] {
      return maker("schema " + std::string(schema), Vocabulary::kText, [&]() -> Result<std::shared_ptr<const Grammar>> {
        NIBBLE_TRY(const Json json, parse_argument(schema, what));
        return json_schema_grammar(json, what);
      });
    });
  }

 private:
  static bool uses_tools(const ChatRequest& request) {
    return !request.tools.empty() && request.tool_choice != ToolChoice::kNone;
  }

  Result<ChatPrompt> make_prompt(const ChatRequest& request) {
    if (model_->chat_template() == nullptr)
      return fail(ErrorCode::kUnsupported,
                  "the model has no chat template, so it knows no conversations; ask it for completions");
    NIBBLE_TRY(Json messages, parse_argument(request.messages, "messages"));
    messages = messages_for_template(std::move(messages), model_->chat_template_source());
    NIBBLE_TRY_STATUS(check_messages(messages));
    ChatPrompt prompt;
    ChatOptions options = model_->chat_options();
    options.add_generation_prompt = request.add_generation_prompt;
    if (uses_tools(request)) NIBBLE_TRY_STATUS(add_tools(request, options, prompt));
    if (!request.template_arguments.empty()) {
      NIBBLE_TRY(options.extra, parse_argument(request.template_arguments, "chat_template_kwargs"));
      if (!options.extra.is_object())
        return fail(ErrorCode::kInvalidArgument, "chat_template_kwargs: expected an object");
    }
    NIBBLE_TRY(prompt.text, model_->chat_template()->render_chat(messages, options));
    // The template prints BOS itself where the model wants one.
    NIBBLE_TRY(prompt.tokens, model_->tokenizer()->encode(prompt.text, {.add_special = false, .parse_special = true}));
    return prompt;
  }

  Status add_tools(const ChatRequest& request, ChatOptions& options, ChatPrompt& prompt) {
    NIBBLE_TRY(options.tools, parse_argument(request.tools, "tools"));
    NIBBLE_TRY(const auto names, function_names(options.tools));
    if (style_ == ToolCallStyle::kNone)
      return fail(ErrorCode::kUnsupported, "tools: the model's chat template has no tool calls that Nibble knows");
    prompt.reads_tool_calls = true;
    if (request.tool_choice != ToolChoice::kRequired) return {};
    ToolCallGrammarOptions grammar;
    if (!request.function.empty()) grammar.function = request.function;
    if (request.parallel_tool_calls && request.function.empty()) grammar.max_calls = kMaxCalls;
    const std::string name =
        "calls " + std::to_string(grammar.max_calls) + " " + request.function + " " + request.tools;
    NIBBLE_TRY(prompt.constraint,
               maker(name, Vocabulary::kWithTags, [&] { return tool_call_grammar(style_, options.tools, grammar); }));
    return {};
  }

  /// Tags of calls are special tokens in some vocabularies; only answers with calls keep the text of those.
  enum class Vocabulary : std::uint8_t { kText, kWithTags };

  /// The grammar of this name, made if it is none of those used lately.
  template <typename Make>
  Result<ConstraintMaker> maker(const std::string& name, Vocabulary vocabulary, const Make& make) {
    {
      const std::lock_guard lock(mutex_);
      for (std::size_t i = 0; i < kept_.size(); ++i) {
        if (kept_[i].first != name) continue;
        auto found = std::move(kept_[i]);
        kept_.erase(kept_.begin() + static_cast<std::ptrdiff_t>(i));
        kept_.push_front(std::move(found));
        return maker_of(kept_.front().second);
      }
    }
    NIBBLE_TRY(auto grammar, make());
    const std::lock_guard lock(mutex_);
    kept_.emplace_front(name, std::make_shared<GrammarMatcher>(std::move(grammar), trie(vocabulary)));
    if (kept_.size() > kKeptGrammars) kept_.pop_back();
    return maker_of(kept_.front().second);
  }

  /// Made when first asked for, with the lock held.
  std::shared_ptr<const TokenTrie> trie(Vocabulary vocabulary) {
    static const std::vector<std::string> kTags = {"<tool_call>", "</tool_call>"};
    auto& trie = tries_[static_cast<std::size_t>(vocabulary)];
    if (trie == nullptr)
      trie = TokenTrie::of(*model_->tokenizer(),
                           vocabulary == Vocabulary::kWithTags ? std::span(kTags) : std::span<const std::string>());
    return trie;
  }

  static ConstraintMaker maker_of(const std::shared_ptr<GrammarMatcher>& matcher) {
    return [matcher] { return std::make_unique<GrammarConstraint>(matcher); };
  }

  std::shared_ptr<ModelOnCpu> model_;
  ToolCallStyle style_;
  std::mutex mutex_;
  std::array<std::shared_ptr<const TokenTrie>, 2> tries_;
  std::deque<std::pair<std::string, std::shared_ptr<GrammarMatcher>>> kept_;  ///< by name, the last used first
};

}  // namespace

Result<std::shared_ptr<Chat>> Chat::of(const std::shared_ptr<Model>& model) {
  return at_boundary([&]() -> Result<std::shared_ptr<Chat>> {
    auto on_cpu = std::dynamic_pointer_cast<ModelOnCpu>(model);
    if (on_cpu == nullptr) return fail(ErrorCode::kInvalidArgument, "a chat needs a model that Model::load gave");
    return std::shared_ptr<Chat>(std::make_shared<ChatOnModel>(std::move(on_cpu)));
  });
}

}  // namespace nibble
