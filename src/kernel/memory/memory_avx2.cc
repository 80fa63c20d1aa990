// Bandwidth and peaks on AVX2. The products run in assembly: with intrinsics the compiler may fold or reorder them.
#include "kernel/lanes/lanes_avx2.h"
#include "kernel/memory/bandwidth.h"

namespace nibble::kernel::avx2 {
namespace {

std::uint64_t read(const std::byte* data, std::size_t n) {
  __m256i sum[8];
  NIBBLE_UNROLL
  for (int j = 0; j < 8; ++j) sum[j] = _mm256_setzero_si256();
  for (std::size_t i = 0; i < n; i += 256) {
    NIBBLE_UNROLL
    for (int j = 0; j < 8; ++j)
      sum[j] = _mm256_add_epi64(sum[j], _mm256_load_si256(reinterpret_cast<const __m256i*>(data + i + 32 * j)));
  }
  NIBBLE_UNROLL
  for (int j = 1; j < 8; ++j) sum[0] = _mm256_add_epi64(sum[0], sum[j]);
  std::uint64_t lanes[4];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), sum[0]);
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

double fma_peak(std::int64_t rounds) {
  __m256 a[12];
  NIBBLE_UNROLL
  for (int j = 0; j < 12; ++j) a[j] = _mm256_set1_ps(0.5f);
  const __m256 x = _mm256_set1_ps(0.999f);
  for (std::int64_t i = 0; i < rounds; ++i) {
    NIBBLE_UNROLL
    for (int j = 0; j < 12; ++j) __asm__ volatile("vfmadd213ps %1, %1, %0" : "+x"(a[j]) : "x"(x));
  }
  return static_cast<double>(rounds) * 12 * 8 * 2;
}

/// Without VNNI a dot of quads is three instructions: 8-bit products to 16 bits, pairs to 32 bits, the sum.
double int8_dot_peak(std::int64_t rounds) {
  __m256i a[12];
  NIBBLE_UNROLL
  for (int j = 0; j < 12; ++j) a[j] = _mm256_setzero_si256();
  const __m256i x = _mm256_set1_epi8(3);
  const __m256i ones = _mm256_set1_epi16(1);
  for (std::int64_t i = 0; i < rounds; ++i) {
    NIBBLE_UNROLL
    for (int j = 0; j < 12; ++j) {
      __m256i t;
      __asm__ volatile(
          "vpmaddubsw %2, %2, %1\n\t"
          "vpmaddwd %3, %1, %1\n\t"
          "vpaddd %1, %0, %0"
          : "+x"(a[j]), "=&x"(t)
          : "x"(x), "x"(ones));
    }
  }
  return static_cast<double>(rounds) * 12 * 32 * 2;
}

}  // namespace

extern const MemoryKernel kMemory;
const MemoryKernel kMemory = {{"memory", "memory_avx2", kAvx2 | kFma | kF16c}, read, fma_peak, int8_dot_peak};

}  // namespace nibble::kernel::avx2
