// Structs that carry their size, so that programs and libraries of different versions understand each other.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "api/c_interface/status.h"

namespace nibble::c {

constexpr std::size_t kLargestStruct = 1 << 16;

/// Fills what the caller's struct has of `value`, and sets its size. What we do not know of it becomes 0.
template <typename T>
void write_sized(T* out, std::size_t size, T value) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (out == nullptr || size < sizeof(std::size_t) || size > kLargestStruct) return;
  value.size = size;
  std::memset(static_cast<void*>(out), 0, size);
  std::memcpy(static_cast<void*>(out), &value, std::min(size, sizeof(T)));
}

/// What the caller's struct says, on top of `defaults`. NULL: the defaults. A field that we do not know has to be 0.
template <typename T>
Result<T> read_sized(const T* given, T defaults, const char* what) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (given == nullptr) return defaults;
  const std::size_t size = given->size;
  if (size < sizeof(std::size_t) || size > kLargestStruct)
    return fail(ErrorCode::kInvalidArgument, "{} has a size of {}; {}_init() sets it", what, size, what);
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  if (size > sizeof(T) && std::any_of(bytes + sizeof(T), bytes + size, [](unsigned char byte) { return byte != 0; }))
    return fail(ErrorCode::kUnsupported, "{} has fields that this version ({}) does not know; use a newer library",
                what, nibble_version());
  std::memcpy(static_cast<void*>(&defaults), given, std::min(size, sizeof(T)));
  return defaults;
}

/// Writes a result into the caller's struct, whose size is set.
template <typename T>
Status give_sized(T* out, const T& value, const char* what) {
  NIBBLE_TRY_STATUS(need(out, what));
  if (out->size < sizeof(std::size_t) || out->size > kLargestStruct)
    return fail(ErrorCode::kInvalidArgument, "{} has a size of {}; set it to sizeof({})", what, out->size, what);
  write_sized(out, out->size, value);
  return {};
}

}  // namespace nibble::c
