// An answer as it grows, and the forms in which the interfaces give it: whole, or as a stream of chunks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nibble/chat.h"
#include "nibble/engine.h"

namespace nibble::server {

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;
  bool complete = false;  ///< its arguments are a whole JSON object
};

struct Answer {
  int index = 0;
  std::string prompt;  ///< the prompt's text, where it is wanted back
  std::string content;
  std::vector<ToolCall> calls;
  std::optional<Outcome> outcome;
};

/// What came to an answer at once.
struct AnswerDelta {
  std::vector<AnswerPiece> pieces;
  std::vector<GeneratedToken> tokens;  ///< where log probabilities are wanted
};

/// Adds what came, but not the tokens: the format keeps their text.
void add_to(Answer& answer, const AnswerDelta& delta);

struct Usage {
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_tokens = 0;
  std::int64_t generated_tokens = 0;
};

/// The texts are JSON objects; of a stream, several joined as "data: {...}\n\n".
class AnswerFormat {
 public:
  virtual ~AnswerFormat() = default;
  /// What a stream says of an answer before it says anything else.
  virtual std::string begin(const Answer& answer) = 0;
  /// What came to an answer, which does not hold it yet.
  virtual std::string delta(const Answer& answer, const AnswerDelta& delta) = 0;
  virtual std::string finish(const Answer& answer) = 0;
  virtual std::string usage(const std::vector<Answer>& answers, const Usage& usage) = 0;
  /// In place of delta() for answers that are given whole: log probabilities are written down as they come, in a tenth
  /// of the memory that they have as values.
  virtual void keep(const Answer& answer, const AnswerDelta& delta) = 0;
  /// Once.
  virtual std::string whole(const std::vector<Answer>& answers, const Usage& usage) = 0;
};

/// What chunks and whole answers begin with.
struct AnswerHead {
  std::string id;
  std::int64_t created = 0;  ///< seconds since 1970
  std::string model;
  bool include_usage = false;  ///< chunks say "usage": null
  bool logprobs = false;
};

std::unique_ptr<AnswerFormat> chat_format(AnswerHead head);
/// `echo`: answers begin with their prompts.
std::unique_ptr<AnswerFormat> completion_format(AnswerHead head, bool echo);

}  // namespace nibble::server
