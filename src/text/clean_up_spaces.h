// The removal of spaces before punctuation that the reference implementations apply to decoded text.
#pragma once

#include <string>

namespace nibble {

/// llama.cpp: " ?" " !" " ." " ," lose the space; " ' " both; " 's" " 'm" " 're" " 've" the one before.
std::string clean_up_spaces_as_gguf(std::string text);

/// Hugging Face's clean_up_tokenization_spaces: the same and " n't", one replacement after the other.
std::string clean_up_spaces_as_hugging_face(std::string text);

}  // namespace nibble
