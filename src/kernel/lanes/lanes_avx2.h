// Sixteen float lanes on AVX2, as two registers of eight. For instruction-set files only: everything is static, so that
// no copy compiled with wide flags can leave its object. Same names and meanings as lanes_avx512.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace nibble::kernel::avx2 {

#define NIBBLE_LANES static inline __attribute__((always_inline))
#if defined(__clang__)
#define NIBBLE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define NIBBLE_UNROLL _Pragma("GCC unroll 16")
#endif

struct F {
  __m256 a;  ///< lanes 0..7
  __m256 b;  ///< lanes 8..15
};
using M = F;

/// Vectors of 16 lanes that a register tile of `rows` rows is wide: it fits in 16 registers of 8 lanes.
template <int rows>
struct TileWidth {
  static constexpr int value = rows == 1 ? 4 : rows == 2 ? 2 : 1;
};

NIBBLE_LANES F zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
NIBBLE_LANES F set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
NIBBLE_LANES F load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
NIBBLE_LANES void store(float* p, F x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
NIBBLE_LANES M lanes_between(int begin, int end) {
  const __m256i before = _mm256_set1_epi32(begin - 1);
  const __m256i after = _mm256_set1_epi32(end);
  const __m256i low = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i high = _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15);
  return {_mm256_castsi256_ps(_mm256_and_si256(_mm256_cmpgt_epi32(low, before), _mm256_cmpgt_epi32(after, low))),
          _mm256_castsi256_ps(_mm256_and_si256(_mm256_cmpgt_epi32(high, before), _mm256_cmpgt_epi32(after, high)))};
}
NIBBLE_LANES F load_first(const float* p, int n) {
  const M m = lanes_between(0, n);
  return {_mm256_maskload_ps(p, _mm256_castps_si256(m.a)), _mm256_maskload_ps(p + 8, _mm256_castps_si256(m.b))};
}
NIBBLE_LANES void store_first(float* p, F x, int n) {
  const M m = lanes_between(0, n);
  _mm256_maskstore_ps(p, _mm256_castps_si256(m.a), x.a);
  _mm256_maskstore_ps(p + 8, _mm256_castps_si256(m.b), x.b);
}
NIBBLE_LANES F load_half(const std::uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
NIBBLE_LANES F set1_half(std::uint16_t x) {
  const __m256 all = _mm256_cvtph_ps(_mm_set1_epi16(static_cast<short>(x)));
  return {all, all};
}
NIBBLE_LANES void store_half(std::uint16_t* p, F x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8),
                   _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
NIBBLE_LANES F add(F x, F y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
NIBBLE_LANES F sub(F x, F y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
NIBBLE_LANES F mul(F x, F y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
NIBBLE_LANES F div(F x, F y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
NIBBLE_LANES F fma(F x, F y, F z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
NIBBLE_LANES F max(F x, F y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
NIBBLE_LANES F min(F x, F y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
NIBBLE_LANES F abs(F x) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
/// Bit i: whether lane i has the property.
NIBBLE_LANES unsigned bits(M m) {
  return static_cast<unsigned>(_mm256_movemask_ps(m.a) | _mm256_movemask_ps(m.b) << 8);
}
NIBBLE_LANES bool any(M m) { return _mm256_movemask_ps(_mm256_or_ps(m.a, m.b)) != 0; }
NIBBLE_LANES M less(F x, F y) { return {_mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ)}; }
/// How many lanes of a and b differ.
NIBBLE_LANES int lanes_that_differ(F a, F b) {
  const auto bits = [](__m256 x, __m256 y) {
    return __builtin_popcount(static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(x, y, _CMP_NEQ_UQ))));
  };
  return bits(a.a, b.a) + bits(a.b, b.b);
}
NIBBLE_LANES F select(M m, F yes, F no) {
  return {_mm256_blendv_ps(no.a, yes.a, m.a), _mm256_blendv_ps(no.b, yes.b, m.b)};
}
NIBBLE_LANES F with_sign(F x, F s) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_or_ps(_mm256_andnot_ps(sign, x.a), _mm256_and_ps(sign, s.a)),
          _mm256_or_ps(_mm256_andnot_ps(sign, x.b), _mm256_and_ps(sign, s.b))};
}
NIBBLE_LANES __m256 power_of_two_of_eight(__m256 t) {
  const __m256i shifted = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(shifted, _mm256_set1_epi32(0x3F800000)));
}
NIBBLE_LANES F power_of_two(F t) { return {power_of_two_of_eight(t.a), power_of_two_of_eight(t.b)}; }

NIBBLE_LANES __m256 low_half(F x) { return x.a; }
NIBBLE_LANES __m256 high_half(F x) { return x.b; }

#include "kernel/lanes/float_x86.inc"

}  // namespace nibble::kernel::avx2
