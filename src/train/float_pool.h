// Memory for the numbers of a pass. A pass needs the same sizes again and again, and fresh pages cost more than the
// operations that fill them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

namespace nibble {

class FloatPool;

/// `size` floats, not set to anything; their memory returns to the pool with the last handle.
struct FloatBuffer {
  float* data = nullptr;
  std::int64_t size = 0;
};
using Floats = std::shared_ptr<FloatBuffer>;

/// For one thread at a time. Held by a shared_ptr: buffers keep it alive.
class FloatPool : public std::enable_shared_from_this<FloatPool> {
 public:
  ~FloatPool();
  Floats take(std::int64_t size);

 private:
  std::map<std::int64_t, std::vector<float*>> free_;  ///< by size
};

}  // namespace nibble
