// Helpers for code that produces and passes on Result<T>: fail() builds the Error, NIBBLE_TRY unwraps or returns.
#pragma once

#include <fmt/format.h>

#include "nibble/result.h"

namespace nibble {

/// Builds an Error with a formatted message: `return fail(ErrorCode::kCorrupt, "{}: {} bytes missing", file, n);`
template <typename... Args>
Error fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return Error{code, fmt::format(format, std::forward<Args>(args)...)};
}

}  // namespace nibble

#define NIBBLE_CONCAT_(a, b) a##b
#define NIBBLE_CONCAT(a, b) NIBBLE_CONCAT_(a, b)

/// NIBBLE_TRY(auto x, f());  declares x with f()'s value, or returns f()'s error from the enclosing function.
#define NIBBLE_TRY(declaration, expression)                                                                  \
  auto NIBBLE_CONCAT(nibble_result_, __LINE__) = (expression);                                               \
  if (!NIBBLE_CONCAT(nibble_result_, __LINE__).ok()) return NIBBLE_CONCAT(nibble_result_, __LINE__).error(); \
  declaration = std::move(NIBBLE_CONCAT(nibble_result_, __LINE__)).value()

/// NIBBLE_TRY_STATUS(f());  returns f()'s error from the enclosing function if there is one.
#define NIBBLE_TRY_STATUS(expression)                        \
  do {                                                       \
    auto nibble_status_ = (expression);                      \
    if (!nibble_status_.ok()) return nibble_status_.error(); \
  } while (false)
