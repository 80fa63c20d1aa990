// Options that are one of a few words.
#pragma once

#include <initializer_list>
#include <string_view>
#include <utility>

#include "api/c_interface/status.h"

namespace nibble::c {

/// The value that a word stands for; none and "" are the first of them. The error lists the words.
template <typename T>
Result<T> choice(const char* word, const char* what, std::initializer_list<std::pair<std::string_view, T>> known) {
  if (word == nullptr || *word == 0) return known.begin()->second;
  std::string list;
  for (const auto& [name, value] : known) {
    if (name == word) return value;
    list += (list.empty() ? "" : ", ") + std::string(name);
  }
  return fail(ErrorCode::kInvalidArgument, "{}: \"{}\" is unknown; known: {}", what, word, list);
}

/// A number of threads that can be.
Status check_threads(std::int32_t threads);

}  // namespace nibble::c
