// Statuses, messages, memory and version of the C interface.
#include "api/c_interface/status.h"

#include <array>

namespace nibble::c {
namespace {

/// In the order of the numbers, which nibble.h fixes.
constexpr std::array<const char*, 11> kNames = {"ok",     "invalid_argument", "not_found", "corrupt", "unsupported",
                                                "io",     "out_of_memory",    "cancelled", "busy",    "internal",
                                                "timeout"};

nibble_status number_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return NIBBLE_INVALID_ARGUMENT;
    case ErrorCode::kNotFound:
      return NIBBLE_NOT_FOUND;
    case ErrorCode::kCorrupt:
      return NIBBLE_CORRUPT;
    case ErrorCode::kUnsupported:
      return NIBBLE_UNSUPPORTED;
    case ErrorCode::kIo:
      return NIBBLE_IO;
    case ErrorCode::kOutOfMemory:
      return NIBBLE_OUT_OF_MEMORY;
    case ErrorCode::kCancelled:
      return NIBBLE_CANCELLED;
    case ErrorCode::kBusy:
      return NIBBLE_BUSY;
    case ErrorCode::kInternal:
      break;
  }
  return NIBBLE_INTERNAL;
}

thread_local std::string last_message;

}  // namespace

nibble_status keep_error(const Error& error) noexcept {
  try {
    last_message = error.message;
  } catch (...) {
    last_message.clear();  // the code says enough
  }
  return number_of(error.code);
}

Result<std::vector<std::string>> strings_of(const char* const* strings, std::size_t count, const char* what) {
  NIBBLE_TRY(const std::span<const char* const> all, span_of(strings, count, what));
  std::vector<std::string> out;
  for (const char* const string : all) {
    NIBBLE_TRY_STATUS(need(string, what));
    out.emplace_back(string);
  }
  return out;
}

}  // namespace nibble::c

const char* nibble_last_error(void) { return nibble::c::last_message.c_str(); }

const char* nibble_status_name(nibble_status status) {
  const bool known = status >= 0 && static_cast<std::size_t>(status) < nibble::c::kNames.size();
  return known ? nibble::c::kNames[static_cast<std::size_t>(status)] : "unknown";
}

const char* nibble_version(void) { return NIBBLE_VERSION; }

void nibble_free(void* memory) { std::free(memory); }
