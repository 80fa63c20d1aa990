// Each pass rewrites the whole text once, so that a later rule sees what an earlier one joined.
#include "text/clean_up_spaces.h"
#include "text/replace_every.h"

#include <array>
#include <string_view>

namespace nibble {
namespace {

/// Copies `text`, dropping every space after which drop(rest) holds.
template <typename Drop>
std::string drop_spaces(const std::string& text, Drop drop) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] != ' ' || !drop(std::string_view(text).substr(i + 1))) out += text[i];
  return out;
}

}  // namespace

std::string clean_up_spaces_as_gguf(std::string text) {
  text = drop_spaces(text, [](std::string_view rest) {
    return !rest.empty() && std::string_view("?!.,").find(rest.front()) != std::string_view::npos;
  });
  text = replace_every(text, " ' ", "'");
  return drop_spaces(text, [](std::string_view rest) {
    return rest.substr(0, 2) == "'s" || rest.substr(0, 2) == "'m" || rest.substr(0, 3) == "'re" ||
           rest.substr(0, 3) == "'ve";
  });
}

std::string clean_up_spaces_as_hugging_face(std::string text) {
  constexpr std::array<std::string_view, 10> kJoined = {" .",   " ?",  " !",  " ,",   " ' ",
                                                        " n't", " 'm", " 's", " 've", " 're"};
  for (std::string_view before : kJoined) {
    std::string after(before.substr(1));
    if (after.back() == ' ') after.pop_back();
    text = replace_every(text, before, after);
  }
  return text;
}

}  // namespace nibble
