// What the bodies of requests ask for, made ready for an engine: fields checked, texts tokenized, grammars compiled.
// Takes milliseconds for long texts, so not on the server's thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "generation.h"
#include "request_fields.h"

namespace nibble::server {

struct RequestDefaults {
  GenerateOptions generate;
  /// Log probabilities in an answer that is not streamed, with those of other tokens: some 80 MB of text.
  std::int64_t max_whole_logprobs = std::int64_t{1} << 20;
};

/// /v1/chat/completions
std::optional<ApiError> read_chat(const Json& body, const ServedModel& model, const RequestDefaults& defaults,
                                  GenerationJob& job);
/// /v1/completions
std::optional<ApiError> read_completion(const Json& body, const ServedModel& model, const RequestDefaults& defaults,
                                        GenerationJob& job);

/// A text, a list of token ids, or a list of at most `max` of either: `field` of a body. Sets the fields' error when it
/// is none.
std::vector<Prompt> read_prompts(RequestFields& fields, std::string_view field, std::size_t max,
                                 const ServedModel& model, bool want_text);
/// What constrains answers, by the names of OpenAI, llama-server and vLLM; empty: nothing. Refuses fields that would
/// constrain them in a way that we do not know, rather than to answer as if they were not there.
ConstraintMaker read_constraint(RequestFields& fields, const ServedModel& model);
/// Refuses to hold more log probabilities than it may, where the request says how many there will be; others are ended
/// when they come to that. Behind the prompts.
void limit_logprobs(RequestFields& fields, const RequestDefaults& defaults, GenerationJob& job);
/// A prompt that leaves no room in the context.
std::optional<ApiError> check_length(const Prompt& prompt, const ServedModel& model, std::string_view field);
/// Letters and digits, different each time.
std::string new_id(std::string_view prefix);

}  // namespace nibble::server
