// ByteReader: the only way bytes from outside are parsed. Its arithmetic cannot overflow and every read is checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "base/result.h"

namespace nibble {

/// A bounded cursor over little-endian bytes. `what` names the file in error messages. Does not own the bytes.
class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, std::string_view what) : bytes_(bytes), what_(what) {}

  std::size_t offset() const noexcept { return offset_; }
  std::size_t remaining() const noexcept { return bytes_.size() - offset_; }

  /// Reads one little-endian integer or IEEE float; `field` names it in the error.
  template <typename T>
  Result<T> read(std::string_view field) {
    static_assert(std::is_arithmetic_v<T>);
    if (remaining() < sizeof(T)) return truncated(field, sizeof(T));
    T value;
    std::memcpy(&value, bytes_.data() + offset_, sizeof(T));
    offset_ += sizeof(T);
    return value;
  }

  /// The next `count` bytes, not copied.
  Result<std::span<const std::byte>> read_bytes(std::uint64_t count, std::string_view field) {
    if (remaining() < count) return truncated(field, count);
    auto out = bytes_.subspan(offset_, static_cast<std::size_t>(count));
    offset_ += static_cast<std::size_t>(count);
    return out;
  }

  /// Moves to an absolute offset.
  Status seek(std::uint64_t offset, std::string_view field) {
    if (offset > bytes_.size()) return truncated(field, offset);
    offset_ = static_cast<std::size_t>(offset);
    return {};
  }

 private:
  Error truncated(std::string_view field, std::uint64_t needed) const {
    return fail(ErrorCode::kCorrupt, "{}: {} needs {} bytes at offset {}, the file has {} left; it may be cut short",
                what_, field, needed, offset_, remaining());
  }

  std::span<const std::byte> bytes_;
  std::string_view what_;
  std::size_t offset_ = 0;
};

/// a * b, or nothing when it does not fit in 64 bits.
inline bool checked_multiply(std::uint64_t a, std::uint64_t b, std::uint64_t& out) noexcept {
  return !__builtin_mul_overflow(a, b, &out);
}

/// a + b, or nothing when it does not fit in 64 bits.
inline bool checked_add(std::uint64_t a, std::uint64_t b, std::uint64_t& out) noexcept {
  return !__builtin_add_overflow(a, b, &out);
}

}  // namespace nibble
