// Conversations as OpenAI's interface writes them, for one model: the prompt that its template makes of messages and
// tools, the tool calls in its answer, and what holds the answer to JSON. JSON comes in as text and is checked here.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/model.h"
#include "nibble/result.h"
#include "nibble/token_constraint.h"

namespace nibble {

/// A piece of an answer. Pieces joined do not depend on how the text came.
struct AnswerPiece {
  enum class Kind {
    kContent,    ///< `text` goes on with the answer's content
    kCallBegin,  ///< call number `call` of the answer, with `id`, of the function that `text` names
    kArguments,  ///< `text` goes on with the JSON of the call's arguments
    kCallEnd,    ///< the call is over
  };
  Kind kind = Kind::kContent;
  int call = 0;
  std::string id;
  std::string text;
  bool complete = true;  ///< of kCallEnd: the arguments are a whole JSON object
};

/// Takes the text of one answer apart. One thread at a time.
class AnswerReader {
 public:
  virtual ~AnswerReader() = default;
  virtual std::vector<AnswerPiece> feed(std::string_view text) = 0;
  /// The text has ended.
  virtual std::vector<AnswerPiece> finish() = 0;
};

/// Gives each answer a constraint of its own; those of one maker share what they find out. Any thread.
using ConstraintMaker = std::function<std::unique_ptr<TokenConstraint>()>;

enum class ToolChoice {
  kAuto,      ///< the model decides whether to call a tool
  kNone,      ///< it is not told of the tools
  kRequired,  ///< the answer is calls of tools, held to their schemas
};

struct ChatRequest {
  std::string messages;  ///< a list of messages, OpenAI's
  std::string tools;     ///< a list of functions, OpenAI's; empty: none
  ToolChoice tool_choice = ToolChoice::kAuto;
  std::string function;  ///< with kRequired, not empty: only this one
  bool parallel_tool_calls = true;
  std::string template_arguments;  ///< an object of further variables of the template ({"enable_thinking": false})
  bool add_generation_prompt = true;
};

/// A request, ready for an engine.
struct ChatPrompt {
  std::vector<std::int32_t> tokens;
  /// Tools are looked for in the answer, whose text must hold special tokens (GenerateOptions::skip_special = false).
  bool reads_tool_calls = false;
  ConstraintMaker constraint;  ///< may be empty
  std::string text;            ///< what `tokens` are of
};

/// What a model's tokenizer and template have to say of conversations. All functions may be called from any thread.
class Chat {
 public:
  static Result<std::shared_ptr<Chat>> of(const std::shared_ptr<Model>& model);
  virtual ~Chat() = default;

  /// Fails with kInvalidArgument for what is no conversation, or what the template refuses; kUnsupported for content
  /// other than text, for tools where the template has none, and for schemas beyond us; kNotFound for a function that
  /// is not among the tools.
  virtual Result<ChatPrompt> prompt(const ChatRequest& request) = 0;

  /// For one answer to a request; its calls are named by `id_prefix` and their number.
  virtual Result<std::unique_ptr<AnswerReader>> answer_reader(const ChatRequest& request, std::string id_prefix) = 0;

  /// Holds texts to any JSON object.
  virtual Result<ConstraintMaker> json_object() = 0;
  /// Holds texts to a JSON schema; `what` names it in messages. Fails with kUnsupported for what we cannot promise.
  virtual Result<ConstraintMaker> json_schema(std::string_view schema, std::string_view what) = 0;
};

}  // namespace nibble
