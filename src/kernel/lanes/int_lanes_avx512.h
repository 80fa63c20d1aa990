// Sixty-four bytes on AVX-512: 64 bytes, 32 halves or 16 int32 lanes beside the float lanes of lanes_avx512.h. For
// instruction-set files only. int_lanes_avx2.h has the same names.
#pragma once

#include "kernel/lanes/lanes_avx512.h"

namespace nibble::kernel::avx512 {

using I = __m512i;

/// Sixteen floats to choose from.
using FloatTable = __m512;

NIBBLE_LANES I load_int(const void* p) { return _mm512_loadu_si512(p); }
NIBBLE_LANES void store_int(void* p, I x) { _mm512_storeu_si512(p, x); }
/// The first n lanes from memory, 0 <= n <= 16, the others 0; touches nothing past them.
NIBBLE_LANES I load_int_first(const std::int32_t* p, int n) { return _mm512_maskz_loadu_epi32(lanes_between(0, n), p); }
NIBBLE_LANES I zero_int() { return _mm512_setzero_si512(); }
NIBBLE_LANES I set1_int(std::int32_t x) { return _mm512_set1_epi32(x); }
NIBBLE_LANES I set1_bytes(char x) { return _mm512_set1_epi8(x); }
NIBBLE_LANES I and_int(I x, I y) { return _mm512_and_si512(x, y); }
/// y without the bits of x.
NIBBLE_LANES I and_not_int(I x, I y) { return _mm512_andnot_si512(x, y); }
NIBBLE_LANES I or_int(I x, I y) { return _mm512_or_si512(x, y); }
NIBBLE_LANES I add_int(I x, I y) { return _mm512_add_epi32(x, y); }
NIBBLE_LANES I sub_int(I x, I y) { return _mm512_sub_epi32(x, y); }
NIBBLE_LANES I mul_int(I x, I y) { return _mm512_mullo_epi32(x, y); }
NIBBLE_LANES I max_int(I x, I y) { return _mm512_max_epi32(x, y); }
/// `value` in the int32 lanes where x equals y, else 0.
NIBBLE_LANES I value_where_equal(I x, I y, I value) {
  return _mm512_maskz_mov_epi32(_mm512_cmpeq_epi32_mask(x, y), value);
}
template <int n>
NIBBLE_LANES I shift_right_halves(I x) {
  return _mm512_srli_epi16(x, n);
}
template <int n>
NIBBLE_LANES I shift_left_halves(I x) {
  return _mm512_slli_epi16(x, n);
}
template <int n>
NIBBLE_LANES I shift_right(I x) {
  return _mm512_srli_epi32(x, n);
}
template <int n>
NIBBLE_LANES I shift_left(I x) {
  return _mm512_slli_epi32(x, n);
}

NIBBLE_LANES F to_float(I x) { return _mm512_cvtepi32_ps(x); }
/// To the nearest integer, halves to even.
NIBBLE_LANES I round_to_int(F x) { return _mm512_cvtps_epi32(x); }
NIBBLE_LANES F bits_as_float(I x) { return _mm512_castsi512_ps(x); }
NIBBLE_LANES I float_as_bits(F x) { return _mm512_castps_si512(x); }
NIBBLE_LANES F halves_to_float(__m256i halves) { return _mm512_cvtph_ps(halves); }

/// Sixteen unsigned bytes, signed bytes, or unsigned 16-bit numbers as int32.
NIBBLE_LANES I widen_unsigned_bytes(const std::uint8_t* p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
NIBBLE_LANES I widen_signed_bytes(const std::uint8_t* p) {
  return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
NIBBLE_LANES I widen_halves(const std::uint8_t* p) {
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
/// The 16 lanes, which fit in 8 bits, as bytes.
NIBBLE_LANES void store_as_bytes(std::int8_t* p, I x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(x));
}

NIBBLE_LANES F gather(const float* table, I index) { return _mm512_i32gather_ps(index, table, 4); }
NIBBLE_LANES FloatTable load_table(const float* p) { return _mm512_loadu_ps(p); }
/// The float whose number is in the low 4 bits of each int32 lane.
NIBBLE_LANES F choose(FloatTable table, I index) { return _mm512_permutexvar_ps(index, table); }
/// Sixteen bytes to choose from, for choose_bytes: each byte of `index` is below 16.
NIBBLE_LANES I load_byte_table(const std::uint8_t* p) {
  return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
NIBBLE_LANES I choose_bytes(I table, I index) { return _mm512_shuffle_epi8(table, index); }

NIBBLE_LANES __m256i low_half(I x) { return _mm512_castsi512_si256(x); }
NIBBLE_LANES __m256i high_half(I x) { return _mm512_extracti64x4_epi64(x, 1); }

#include "kernel/lanes/int_x86.inc"

}  // namespace nibble::kernel::avx512
