// Result<T>: a value or an Error. Every operation that can fail for a reason outside the program returns one.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace nibble {

/// Why an operation failed. Clients map these to exit statuses, HTTP statuses or exception classes with one table.
enum class ErrorCode {
  kInvalidArgument,  ///< the caller asked for something impossible (a wrong flag, an unknown scheme)
  kNotFound,         ///< a file, tensor or name does not exist
  kCorrupt,          ///< bytes from outside break the rules of their format
  kUnsupported,      ///< well-formed, but Nibble does not implement it
  kIo,               ///< the operating system refused (disk full, permission, a file that shrank)
  kOutOfMemory,      ///< the request would need more memory than allowed
  kCancelled,        ///< the user asked to stop
  kBusy,             ///< as much as allowed is under way already; the same may be asked later
  kInternal,         ///< a defect in Nibble; the message asks to report it
};

/// A code and a sentence that says what was being done, to what, what was found, what was expected, and the way out.
struct Error {
  ErrorCode code = ErrorCode::kInvalidArgument;
  std::string message;
};

/// Returns `error` with "context: " put before its message.
inline Error with_context(Error error, const std::string& context) {
  error.message = context + ": " + error.message;
  return error;
}

/// A value of type T, or an Error. Check ok() before value(); value() on an error throws std::bad_variant_access.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit on purpose
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit on purpose

  bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, Error> state_;
};

/// Success, or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit on purpose

  bool ok() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return ok(); }
  const Error& error() const { return error_.value(); }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace nibble
