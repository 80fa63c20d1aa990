// Tensors that lie in a storage in another order than their shape (a transposed view, a column slice).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace nibble {

/// Do these strides (in elements) walk through consecutive elements, the last dimension fastest? Strides of dimensions
/// of size 1, and of tensors without elements, mean nothing.
bool is_contiguous(std::span<const std::int64_t> shape, std::span<const std::int64_t> strides) noexcept;

/// The tensor's elements in row-major order. `first` is its first element; every element that shape and strides reach
/// must be readable.
std::vector<std::byte> copy_strided(const std::byte* first, std::span<const std::int64_t> shape,
                                    std::span<const std::int64_t> strides, std::size_t element_bytes);

}  // namespace nibble
