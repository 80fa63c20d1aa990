// Small buffers by powers of two, large ones by the best fit.
#include "run/buffer_pool.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <new>

namespace nibble {
namespace {

/// A cache line more than asked for: rows of several buffers would meet in the same sets of the caches.
std::size_t bytes_of(std::size_t capacity) { return (capacity * sizeof(float) + 63) / 64 * 64 + 64; }

bool holds_less(const BufferPool::Buffer& buffer, std::size_t count) { return buffer.capacity < count; }

}  // namespace

BufferPool::~BufferPool() {
  for (const auto& of_a_size : small_)
    for (const Buffer& buffer : of_a_size) std::free(buffer.data);
  for (const Buffer& buffer : large_) std::free(buffer.data);
}

std::vector<BufferPool::Buffer>& BufferPool::small(std::size_t capacity) {
  return small_[static_cast<std::size_t>(std::bit_width(capacity) - 1)];
}

/// With room for it where it will be kept, so that giving it back cannot fail.
BufferPool::Buffer BufferPool::allocate(std::size_t capacity, std::vector<Buffer>& kept_in) {
  kept_in.reserve(count_ + 1);
  auto* data = static_cast<float*>(std::aligned_alloc(64, bytes_of(capacity)));
  if (data == nullptr) throw std::bad_alloc();
  ++count_;
  bytes_ += bytes_of(capacity);
  return {data, capacity};
}

BufferPool::Buffer BufferPool::take(std::size_t count) {
  if (count <= kMostSmall) {
    const std::size_t capacity = std::bit_ceil(std::max(count, kSmallest));
    std::vector<Buffer>& free = small(capacity);
    if (free.empty()) return allocate(capacity, free);
    const Buffer buffer = free.back();
    free.pop_back();
    return buffer;
  }
  const auto best = std::lower_bound(large_.begin(), large_.end(), count, holds_less);
  if (best != large_.end()) {
    const Buffer buffer = *best;
    large_.erase(best);
    return buffer;
  }
  // In place of the largest, which will not be missed: there are as many as were in use at once.
  if (!large_.empty()) {
    std::free(large_.back().data);
    bytes_ -= bytes_of(large_.back().capacity);
    --count_;
    large_.pop_back();
  }
  return allocate(count, large_);
}

void BufferPool::give_back(Buffer buffer) noexcept {
  if (buffer.capacity <= kMostSmall) {
    small(buffer.capacity).push_back(buffer);
  } else {
    large_.insert(std::lower_bound(large_.begin(), large_.end(), buffer.capacity, holds_less), buffer);
  }
}

}  // namespace nibble
