// The border of the C interface: results become statuses and a message of this thread; exceptions end here.
#pragma once

#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/boundary.h"
#include "base/result.h"
#include "nibble/nibble.h"

namespace nibble::c {

/// Keeps the message for nibble_last_error() and gives the code's number.
nibble_status keep_error(const Error& error) noexcept;

/// Calls body(), which returns a Result<void>, and says how it went.
template <typename F>
nibble_status guarded(F&& body) noexcept {
  try {
    const Status status = at_boundary(body);
    return status.ok() ? NIBBLE_OK : keep_error(status.error());
  } catch (...) {  // no memory for the message, or something that is no std::exception
    return keep_error({ErrorCode::kInternal, ""});
  }
}

inline std::string text_of(const char* text) { return text == nullptr ? std::string() : std::string(text); }

/// The strings of an array that C gives; NULL among them are an error that names `what`.
Result<std::vector<std::string>> strings_of(const char* const* strings, std::size_t count, const char* what);

/// Refuses NULL where something has to be.
inline Status need(const void* pointer, const char* what) {
  if (pointer == nullptr) return fail(ErrorCode::kInvalidArgument, "{} is NULL", what);
  return {};
}

template <typename T>
Result<std::span<const T>> span_of(const T* values, std::size_t count, const char* what) {
  if (count > 0) NIBBLE_TRY_STATUS(need(values, what));
  return std::span<const T>(values, count);
}

/// Memory that nibble_free() takes back, with a copy of the values and a zero behind them. Throws std::bad_alloc.
template <typename T>
T* handed_out(std::span<const T> values) {
  auto* memory = static_cast<T*>(std::malloc((values.size() + 1) * sizeof(T)));
  if (memory == nullptr) throw std::bad_alloc();
  if (!values.empty()) std::memcpy(memory, values.data(), values.size() * sizeof(T));
  memory[values.size()] = T{};
  return memory;
}
inline char* handed_out(std::string_view text) { return handed_out(std::span<const char>(text)); }

}  // namespace nibble::c
