// Whether a stream of events is whole and as OpenAI's clients expect it.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace nibble::server {

class StreamCheck {
 public:
  /// `is_chat`: of /v1/chat/completions, else of /v1/completions.
  explicit StreamCheck(bool is_chat) : is_chat_(is_chat) {}

  void feed(std::string_view body);
  /// The stream has ended. What is wrong with it; empty: nothing.
  std::string finish();

  const std::string& problem() const { return problem_; }
  /// The content of all answers, and the arguments of their calls, joined as they came.
  const std::string& text() const { return text_; }
  int pieces() const { return pieces_; }  ///< events with a text
  bool has_error() const { return has_error_; }

 private:
  void fail(std::string problem);
  void read_event(std::string_view event);
  void read_choice(const Json& choice);

  bool is_chat_;
  std::string buffer_;
  std::string problem_;
  std::string text_;
  int pieces_ = 0;
  bool has_role_ = false;
  bool has_error_ = false;
  bool has_finish_ = false;
  bool is_done_ = false;
};

/// Whether a body is OpenAI's error object.
bool is_error_object(std::string_view body);

}  // namespace nibble::server
