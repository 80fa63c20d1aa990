// The fields of a request that say how text is written, with the names of OpenAI, llama-server and vLLM.
#pragma once

#include "nibble/model.h"
#include "request_fields.h"

namespace nibble::server {

/// What the interfaces differ in.
struct TextFields {
  std::int64_t n = 1;  ///< answers to each prompt
  bool stream = false;
  bool include_usage = false;
};

constexpr std::int64_t kMaxAnswers = 128;

/// Reads stream, stream_options and n.
TextFields read_text_fields(RequestFields& fields);
/// Tokens of an answer at most; 0: as many as there is room for, which -1 stands for in a request.
std::optional<std::int64_t> read_max_tokens(RequestFields& fields, std::string_view name);
/// Reads all else but max_tokens and log probabilities over `defaults`. Without a seed, a new one each time.
GenerateOptions read_sampling(RequestFields& fields, const GenerateOptions& defaults, std::int64_t vocab_size);

}  // namespace nibble::server
