// Copying through strides, one run of the last dimension at a time.
#include "io/strided_copy.h"

#include <algorithm>
#include <cstring>

namespace nibble {

bool is_contiguous(std::span<const std::int64_t> shape, std::span<const std::int64_t> strides) noexcept {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return true;
  std::int64_t expected = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

std::vector<std::byte> copy_strided(const std::byte* first, std::span<const std::int64_t> shape,
                                    std::span<const std::int64_t> strides, std::size_t element_bytes) {
  std::size_t elements = 1;
  for (const std::int64_t size : shape) elements *= static_cast<std::size_t>(size);
  std::vector<std::byte> out(elements * element_bytes);
  if (elements == 0) return out;
  const std::size_t outer = shape.size() - (shape.empty() ? 0 : 1);
  const std::size_t run = shape.empty() ? 1 : static_cast<std::size_t>(shape.back());
  const std::size_t step = shape.empty() ? 0 : static_cast<std::size_t>(strides.back()) * element_bytes;
  std::vector<std::int64_t> index(outer, 0);
  for (std::byte* to = out.data(); to != out.data() + out.size();) {
    std::size_t position = 0;
    for (std::size_t i = 0; i < outer; ++i) position += static_cast<std::size_t>(index[i] * strides[i]);
    const std::byte* from = first + position * element_bytes;
    for (std::size_t i = 0; i < run; ++i, to += element_bytes) std::memcpy(to, from + i * step, element_bytes);
    for (std::size_t i = outer; i-- > 0;) {
      if (++index[i] < shape[i]) break;
      index[i] = 0;
    }
  }
  return out;
}

}  // namespace nibble
