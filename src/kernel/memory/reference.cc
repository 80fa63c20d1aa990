// Reading and counting in portable code; what the compiler makes of it.
#include <cmath>
#include <cstring>

#include "kernel/memory/bandwidth.h"

namespace nibble::kernel::reference {
namespace {

std::uint64_t read(const std::byte* data, std::size_t n) {
  std::uint64_t lanes[8] = {};
  for (std::size_t i = 0; i < n; i += 64) {
    std::uint64_t words[8];
    std::memcpy(words, data + i, sizeof(words));
    for (int j = 0; j < 8; ++j) lanes[j] += words[j];
  }
  std::uint64_t sum = 0;
  for (const std::uint64_t lane : lanes) sum += lane;
  return sum;
}

/// Portable code has no fused step that is not a call: a product and a sum stand for it.
double fma(std::int64_t rounds) {
  float a[16];
  for (int j = 0; j < 16; ++j) a[j] = 0.001f * static_cast<float>(j);
  volatile float factor = 0.999f;
  const float x = factor;
  for (std::int64_t i = 0; i < rounds; ++i)
    for (int j = 0; j < 16; ++j) a[j] = a[j] * x + 1e-6f;
  volatile float sink = 0.0f;
  for (const float lane : a) sink = sink + lane;
  return static_cast<double>(rounds) * 32;
}

double int8_dot(std::int64_t rounds) {
  volatile std::int8_t one = 3;
  const std::int8_t x = one;
  std::int32_t a[16];
  std::int8_t b[16];
  for (int j = 0; j < 16; ++j) {
    a[j] = 0;
    b[j] = static_cast<std::int8_t>(j);
  }
  for (std::int64_t i = 0; i < rounds; ++i)
    for (int j = 0; j < 16; ++j) {
      a[j] = static_cast<std::int32_t>(static_cast<std::uint32_t>(a[j]) + static_cast<std::uint32_t>(x * b[j]));
      b[j] = static_cast<std::int8_t>(b[j] ^ 1);
    }
  volatile std::int32_t sink = 0;
  for (const std::int32_t lane : a) sink = sink ^ lane;
  return static_cast<double>(rounds) * 32;
}

}  // namespace

extern const MemoryKernel kMemory;
const MemoryKernel kMemory = {{"memory", "memory_reference", 0}, read, fma, int8_dot};

}  // namespace nibble::kernel::reference
