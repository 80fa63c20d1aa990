#include "train/float_pool.h"

#include <cstdlib>
#include <new>

namespace nibble {

FloatPool::~FloatPool() {
  for (const auto& [size, pointers] : free_)
    for (float* pointer : pointers) std::free(pointer);
}

Floats FloatPool::take(std::int64_t size) {
  std::vector<float*>& same_size = free_[size];
  float* data = nullptr;
  if (!same_size.empty()) {
    data = same_size.back();
    same_size.pop_back();
  } else {
    const std::size_t bytes = (static_cast<std::size_t>(size) * sizeof(float) + 127) / 64 * 64;
    data = static_cast<float*>(std::aligned_alloc(64, bytes));
    if (data == nullptr) throw std::bad_alloc();
  }
  return {new FloatBuffer{data, size}, [pool = shared_from_this()](FloatBuffer* buffer) {
            pool->free_[buffer->size].push_back(buffer->data);
            delete buffer;
          }};
}

}  // namespace nibble
