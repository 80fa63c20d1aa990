// A model without a model: a token is a byte, and an answer says its prompt again, at a pace that is known exactly.
// Tests, fuzzing and measurements serve it, so that what they see is the server's own. Not part of the program.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "served_models.h"

namespace nibble::server {

struct EmptyModelOptions {
  EngineOptions engine;  ///< max_running, max_waiting and max_waiting_tokens; the rest does nothing
  /// In each step every running request gets a token: at most max_running tokens in this time. 0: as fast as it goes.
  std::chrono::microseconds step_time{0};
  bool synchronous = false;  ///< requests run to their end within submit(); nothing waits
  std::int64_t context = 4096;
  std::function<void(std::string_view text)> on_tokenize;  ///< called with each text first; may wait; may be empty
};

/// Ids 0 to 255 are bytes, 256 ends a text; there are no others.
constexpr std::int32_t kEmptyModelEnd = 256;
constexpr std::int32_t kEmptyModelVocabulary = 257;

/// The prompt of a conversation is its messages, "role: content" and a newline each. Answers repeat the prompt once, or
/// with ignore_eos and up to min_tokens again and again. Where tools may be called, an answer is one call, {"text":
/// answer}, of the first of them or of the one asked for. Constraints are taken and not kept. Embeddings count bytes.
ServedModel empty_model(std::string id, const EmptyModelOptions& options);

}  // namespace nibble::server
