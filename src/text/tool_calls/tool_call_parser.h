// ToolCallParser: finds tool calls in a model's text while it is written. What it gives does not depend on how the text
// is cut into pieces: joined, it is the same for every split.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/chat.h"
#include "text/tool_calls/json_scanner.h"
#include "text/tool_calls/tool_call_style.h"

namespace nibble {

struct ToolCallParserOptions {
  /// The functions that may be called. A call of another one is content.
  std::vector<std::string> functions;
  /// Calls are named by this and their index; make it different for each answer.
  std::string id_prefix = "call_";
  /// Calls behind so many are dropped; text is not.
  int max_calls = std::numeric_limits<int>::max();
};

/// White space around calls is dropped. Text that begins like a call and is none comes out as content, unchanged. A
/// call begins when its function and the beginning of its arguments are known; if it breaks off after that it ends with
/// complete = false, and what follows is content. Line ends and tabs that stand in a string of the arguments as they
/// are come out as JSON escapes.
class ToolCallParser final : public AnswerReader {
 public:
  ToolCallParser(ToolCallStyle style, ToolCallParserOptions options);

  /// The next piece of the text, special tokens' text included.
  std::vector<AnswerPiece> feed(std::string_view piece) override;
  /// The text has ended.
  std::vector<AnswerPiece> finish() override;
  int calls() const { return calls_; }

  /// The most bytes of a text that may become a call; more is content.
  static constexpr std::size_t kMaxHeldBytes = 8192;

 private:
  enum class Phase : std::uint8_t {
    kText,       ///< content, or white space before something
    kTag,        ///< within what may be the tag before a call
    kObject,     ///< between the parts of the call's object
    kString,     ///< within a key or the function's name
    kArguments,  ///< within the arguments
    kOther,      ///< within the value of another key
    kAfterCall,  ///< white space and the tag behind a call
  };
  enum class Expect : std::uint8_t { kOpen, kFirstKey, kKey, kColon, kValue, kComma };

  void run();
  bool step(char c);
  bool text_step(char c);
  bool tag_step(char c);
  bool object_step(char c);
  bool value_step(char c);
  bool string_ended();
  bool value_begins(char c);
  bool argument_byte(char c);
  bool call_ended();
  bool after_call_step(char c);
  bool broken();
  void give_up();
  void begin_call();
  void expect(Expect what) {
    phase_ = Phase::kObject;
    expect_ = what;
  }

  void add_arguments(std::string_view text);
  void emit(AnswerPiece::Kind kind, std::string_view text, bool complete = true);
  void emit_content(std::size_t end);

  ToolCallStyle style_;
  ToolCallParserOptions options_;
  std::string_view tag_;
  std::vector<AnswerPiece> events_;

  std::string buffer_;         ///< what is not yet given out
  std::size_t at_ = 0;         ///< the next byte of it
  std::size_t start_ = 0;      ///< the first that is held
  std::size_t candidate_ = 0;  ///< where what may be a call begins

  Phase phase_ = Phase::kText;
  Expect expect_ = Expect::kOpen;
  bool at_beginning_ = true;  ///< no content yet, or none since a call
  std::size_t matched_ = 0;   ///< bytes of a tag
  JsonScanner scanner_;
  std::string string_;  ///< a key or a name, with quotes
  bool is_key_ = false;
  std::string key_;
  std::string name_;
  std::string arguments_;  ///< those not given out: the name is not known yet
  bool has_arguments_ = false;
  bool began_ = false;
  int calls_ = 0;
};

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;
  bool complete = false;
};

struct ToolCallAnswer {
  std::string content;
  std::vector<ToolCall> calls;
};

/// Adds what events say to an answer.
void add_events(const std::vector<AnswerPiece>& events, ToolCallAnswer& answer);
/// A whole text at once.
ToolCallAnswer parse_tool_calls(std::string_view text, ToolCallStyle style, ToolCallParserOptions options);

}  // namespace nibble
