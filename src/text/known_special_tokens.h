// Special tokens that files do not name are found by their text, as llama.cpp does.
#pragma once

#include <string_view>

#include "text/tokenizer_spec.h"

namespace nibble {

/// Fills the ids of end of turn, end of message and fill-in-the-middle tokens that are not set, and end_of_generation
/// (keeping what is there) from them and from further known texts. What is found becomes a control token, unless
/// `types_are_final`: then only tokens that are control tokens already are looked at.
void find_known_special_tokens(TokenizerSpec& spec, bool types_are_final);

/// Texts that converters take for special even if the file does not say so: <|...|>, <｜...｜>, <unused...>, <pad>, ...
bool looks_special(std::string_view text);

}  // namespace nibble
