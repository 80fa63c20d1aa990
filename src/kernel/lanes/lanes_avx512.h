// Sixteen float lanes on AVX-512. For instruction-set files only: everything is static, so that no copy compiled with
// wide flags can leave its object. lanes_avx2.h has the same names; the kernels are written once against them.
#pragma once

// GCC 12 takes the undefined operands inside its own intrinsics for mistakes (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif

#include <cstdint>

namespace nibble::kernel::avx512 {

#define NIBBLE_LANES static inline __attribute__((always_inline))
#if defined(__clang__)
#define NIBBLE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define NIBBLE_UNROLL _Pragma("GCC unroll 16")
#endif

using F = __m512;
using M = __mmask16;

/// Vectors of 16 lanes that a register tile of `rows` rows is wide: rows * width accumulators, with the loads and a
/// broadcast, fit in 32 registers.
template <int rows>
struct TileWidth {
  static constexpr int value = 4;
};

NIBBLE_LANES F zero() { return _mm512_setzero_ps(); }
NIBBLE_LANES F set1(float x) { return _mm512_set1_ps(x); }
NIBBLE_LANES F load(const float* p) { return _mm512_loadu_ps(p); }
NIBBLE_LANES void store(float* p, F x) { _mm512_storeu_ps(p, x); }
/// Lanes [begin, end), 0 <= begin, end <= 16.
NIBBLE_LANES M lanes_between(int begin, int end) { return static_cast<M>(((1u << end) - 1u) & ~((1u << begin) - 1u)); }
/// The first n lanes from memory, 0 <= n <= 16, the others 0; touches nothing past them.
NIBBLE_LANES F load_first(const float* p, int n) { return _mm512_maskz_loadu_ps(lanes_between(0, n), p); }
NIBBLE_LANES void store_first(float* p, F x, int n) { _mm512_mask_storeu_ps(p, lanes_between(0, n), x); }
NIBBLE_LANES F load_half(const std::uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
NIBBLE_LANES F set1_half(std::uint16_t x) { return _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<short>(x))); }
NIBBLE_LANES void store_half(std::uint16_t* p, F x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
NIBBLE_LANES F add(F a, F b) { return _mm512_add_ps(a, b); }
NIBBLE_LANES F sub(F a, F b) { return _mm512_sub_ps(a, b); }
NIBBLE_LANES F mul(F a, F b) { return _mm512_mul_ps(a, b); }
NIBBLE_LANES F div(F a, F b) { return _mm512_div_ps(a, b); }
NIBBLE_LANES F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
/// a > b ? a : b and a < b ? a : b: the second operand where either is NaN.
NIBBLE_LANES F max(F a, F b) { return _mm512_max_ps(a, b); }
NIBBLE_LANES F min(F a, F b) { return _mm512_min_ps(a, b); }
NIBBLE_LANES F abs(F a) { return _mm512_abs_ps(a); }
/// Bit i: whether lane i has the property.
NIBBLE_LANES unsigned bits(M m) { return m; }
NIBBLE_LANES bool any(M m) { return m != 0; }
NIBBLE_LANES M less(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
/// How many lanes of a and b differ.
NIBBLE_LANES int lanes_that_differ(F a, F b) { return __builtin_popcount(_mm512_cmp_ps_mask(a, b, _CMP_NEQ_UQ)); }
NIBBLE_LANES F select(M m, F yes, F no) { return _mm512_mask_blend_ps(m, no, yes); }
/// The magnitude of a with the sign of s.
NIBBLE_LANES F with_sign(F a, F s) {
  const __m512i sign = _mm512_set1_epi32(static_cast<int>(0x80000000u));
  return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(sign, _mm512_castps_si512(s), _mm512_castps_si512(a), 0xCA));
}
/// 2^n where t = n + 1.5 * 2^23, -126 <= n <= 127.
NIBBLE_LANES F power_of_two(F t) {
  const __m512i shifted = _mm512_slli_epi32(_mm512_castps_si512(t), 23);
  return _mm512_castsi512_ps(_mm512_add_epi32(shifted, _mm512_set1_epi32(0x3F800000)));
}

NIBBLE_LANES __m256 low_half(F x) { return _mm512_castps512_ps256(x); }
NIBBLE_LANES __m256 high_half(F x) { return _mm512_extractf32x8_ps(x, 1); }

#include "kernel/lanes/float_x86.inc"

}  // namespace nibble::kernel::avx512
