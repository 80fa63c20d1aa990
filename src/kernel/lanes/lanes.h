// The order of sums that every kernel here keeps, in portable code for the reference kernels: 16 (or 64) interleaved
// lanes, then one fixed tree. It makes results equal, bit for bit, on every instruction set.
#pragma once

#include <cstddef>

namespace nibble::kernel::reference {

/// Lane i meets lane i + n/2, and so on down to one.
template <std::size_t n>
float reduce_add(const float (&lanes)[n]) noexcept {
  float tree[n];
  for (std::size_t i = 0; i < n; ++i) tree[i] = lanes[i];
  for (std::size_t half = n / 2; half > 0; half /= 2)
    for (std::size_t i = 0; i < half; ++i) tree[i] = tree[i] + tree[i + half];
  return tree[0];
}

/// The larger one; the second where either is NaN, as the x86 instruction does.
inline float max(float a, float b) noexcept { return a > b ? a : b; }
inline float min(float a, float b) noexcept { return a < b ? a : b; }

template <std::size_t n>
float reduce_max(const float (&lanes)[n]) noexcept {
  float tree[n];
  for (std::size_t i = 0; i < n; ++i) tree[i] = lanes[i];
  for (std::size_t half = n / 2; half > 0; half /= 2)
    for (std::size_t i = 0; i < half; ++i) tree[i] = max(tree[i], tree[i + half]);
  return tree[0];
}

}  // namespace nibble::kernel::reference
