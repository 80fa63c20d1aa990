// Bandwidth and peaks on AVX-512. The products run in assembly: with intrinsics the compiler may fold or reorder them.
#include "kernel/lanes/lanes_avx512.h"
#include "kernel/memory/bandwidth.h"

namespace nibble::kernel::avx512 {
namespace {

std::uint64_t read(const std::byte* data, std::size_t n) {
  __m512i sum[8];
  NIBBLE_UNROLL
  for (int j = 0; j < 8; ++j) sum[j] = _mm512_setzero_si512();
  for (std::size_t i = 0; i < n; i += 512) {
    NIBBLE_UNROLL
    for (int j = 0; j < 8; ++j) sum[j] = _mm512_add_epi64(sum[j], _mm512_load_si512(data + i + 64 * j));
  }
  NIBBLE_UNROLL
  for (int j = 1; j < 8; ++j) sum[0] = _mm512_add_epi64(sum[0], sum[j]);
  std::uint64_t lanes[8];
  _mm512_storeu_si512(lanes, sum[0]);
  std::uint64_t total = 0;
  for (int j = 0; j < 8; ++j) total += lanes[j];
  return total;
}

/// Sixteen chains: two a cycle for four cycles are busy at once, the rest is slack.
double fma_peak(std::int64_t rounds) {
  F a[16];
  NIBBLE_UNROLL
  for (int j = 0; j < 16; ++j) a[j] = set1(0.5f);
  const F x = set1(0.999f);
  for (std::int64_t i = 0; i < rounds; ++i) {
    NIBBLE_UNROLL
    for (int j = 0; j < 16; ++j) __asm__ volatile("vfmadd213ps %1, %1, %0" : "+v"(a[j]) : "v"(x));
  }
  return static_cast<double>(rounds) * 16 * 16 * 2;
}

double int8_dot_peak(std::int64_t rounds) {
  __m512i a[16];
  NIBBLE_UNROLL
  for (int j = 0; j < 16; ++j) a[j] = _mm512_setzero_si512();
  const __m512i x = _mm512_set1_epi32(0x03030303);
  for (std::int64_t i = 0; i < rounds; ++i) {
    NIBBLE_UNROLL
    for (int j = 0; j < 16; ++j) __asm__ volatile("vpdpbusd %1, %1, %0" : "+v"(a[j]) : "v"(x));
  }
  return static_cast<double>(rounds) * 16 * 64 * 2;
}

}  // namespace

extern const MemoryKernel kMemory;
const MemoryKernel kMemory = {
    {"memory", "memory_avx512", kAvx2 | kFma | kF16c | kAvx512 | kAvx512Vnni}, read, fma_peak, int8_dot_peak};

}  // namespace nibble::kernel::avx512
