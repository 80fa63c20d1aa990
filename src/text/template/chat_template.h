// Chat templates: the Jinja programs that turn a conversation into the text a model was trained on. A subset of Jinja
// that runs published models' templates, with transformers' settings; docs/howto/chat-templates.md says what it covers.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "text/template/render_limits.h"

namespace nibble {

namespace jinja {
struct SyntaxTree;
}

struct ChatOptions {
  /// Ends the text with the beginning of an assistant's message.
  bool add_generation_prompt = false;
  /// A list of tools as JSON schemas; null passes none, as transformers does.
  Json tools;
  /// A list of documents to answer from; null passes none.
  Json documents;
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  /// More variables, such as {"enable_thinking": false}; these win over those above.
  Json extra = Json::object();
  /// What strftime_now() prints; without it, the local time of the machine.
  std::optional<std::tm> now;
  RenderLimits limits;
};

/// A parsed template. Cheap to copy; may be rendered from several threads at once.
class ChatTemplate {
 public:
  /// Parses UTF-8 `source`. Errors (kCorrupt for syntax, kUnsupported for tags we do not have) read
  /// "name:line:column: what was found, what was expected".
  static Result<ChatTemplate> parse(std::string_view source, std::string name, const TemplateLimits& limits = {});

  /// Renders with the entries of the object `variables`. Fails (kInvalidArgument) for what Jinja raises an exception
  /// for, with raise_exception's message behind the place; kUnsupported for a filter or method we do not have;
  /// kOutOfMemory for too large values or output. `now` is the clock of strftime_now().
  Result<std::string> render(const Json& variables, const RenderLimits& limits = {},
                             const std::optional<std::tm>& now = std::nullopt) const;

  /// Renders a list of messages ({"role": ..., "content": ...}) with the variables that transformers passes. The text
  /// may begin with bos_token: tokenize it without adding another.
  Result<std::string> render_chat(const Json& messages, const ChatOptions& options = {}) const;

  /// Whether the template reads a variable of this name anywhere, e.g. "tools" or "enable_thinking".
  bool mentions(std::string_view variable) const;

 private:
  explicit ChatTemplate(std::shared_ptr<const jinja::SyntaxTree> tree) : tree_(std::move(tree)) {}

  std::shared_ptr<const jinja::SyntaxTree> tree_;
};

}  // namespace nibble
