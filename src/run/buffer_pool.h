// Memory for the values of a step, kept for those of the next.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

namespace nibble {

/// Buffers of floats, aligned for vector loads. They are kept for good, and a large one serves whatever fits into it:
/// steps that are no larger than one before take no more memory, whatever their lengths. Not thread-safe.
class BufferPool {
 public:
  struct Buffer {
    float* data = nullptr;
    std::size_t capacity = 0;  ///< in floats
  };

  BufferPool() = default;
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  /// At least `count` floats, of any values. Throws std::bad_alloc.
  Buffer take(std::size_t count);
  void give_back(Buffer buffer) noexcept;
  /// Bytes of all buffers, taken or not.
  std::size_t bytes() const { return bytes_; }

 private:
  /// Up to so many floats a buffer is a power of two, for values of about that size: they are used so often that they
  /// should stay where caches know them.
  static constexpr std::size_t kMostSmall = std::size_t{1} << 14;
  static constexpr std::size_t kSmallest = 1024;

  Buffer allocate(std::size_t capacity, std::vector<Buffer>& kept_in);
  std::vector<Buffer>& small(std::size_t capacity);

  std::array<std::vector<Buffer>, 16> small_;  ///< free ones, by the power of two
  std::vector<Buffer> large_;                  ///< free ones, ascending in capacity
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace nibble
