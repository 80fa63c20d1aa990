// A text as windows of token ids: what evaluation scores and statistics are gathered on.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "model/model_files.h"
#include "text/tokenizer.h"

namespace nibble {

Result<std::shared_ptr<const Tokenizer>> tokenizer_of(const ModelFiles& files);

/// The bytes of a file as text.
std::string_view text_of(const MappedFile& file);

/// Windows of `context` ids back to back: of the text, with BOS in front of each where the tokenizer adds one. At most
/// `chunks` of them (0: all); less than one is an error.
Result<std::vector<std::int32_t>> windows_of_text(const Tokenizer& tokenizer, const std::string& file,
                                                  std::int64_t context, std::int64_t chunks);
/// The same of a text in memory, which errors call `name`.
Result<std::vector<std::int32_t>> windows_of_string(const Tokenizer& tokenizer, std::string_view text,
                                                    const std::string& name, std::int64_t context, std::int64_t chunks);

/// The first `count` ids of a text, or all where it has fewer. Reads no more of it than these take, and no end of what
/// it reads is an end of the text to them.
Result<std::vector<std::int32_t>> first_tokens(const Tokenizer& tokenizer, std::string_view text, std::int64_t count);

/// Tokens of the text that a window of `context` ids holds: one less where BOS stands in front.
std::int64_t text_tokens_of_window(const Tokenizer& tokenizer, std::int64_t context);

/// --ctx suits the model.
Status check_window(std::int64_t context, const ModelFiles& files);

}  // namespace nibble
