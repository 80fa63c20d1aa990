// Sixty-four bytes on AVX2, as two registers: 64 bytes, 32 halves or 16 int32 lanes beside the float lanes of
// lanes_avx2.h. For instruction-set files only. Same names and meanings as int_lanes_avx512.h.
#pragma once

#include "kernel/lanes/lanes_avx2.h"

namespace nibble::kernel::avx2 {

struct I {
  __m256i a;  ///< bytes 0..31
  __m256i b;  ///< bytes 32..63
};

/// Sixteen floats to choose from.
struct FloatTable {
  __m256 low;
  __m256 high;
};

NIBBLE_LANES I load_int(const void* p) {
  const auto* words = static_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(words), _mm256_loadu_si256(words + 1)};
}
NIBBLE_LANES void store_int(void* p, I x) {
  auto* words = static_cast<__m256i*>(p);
  _mm256_storeu_si256(words, x.a);
  _mm256_storeu_si256(words + 1, x.b);
}
/// The first n lanes from memory, 0 <= n <= 16, the others 0; touches nothing past them.
NIBBLE_LANES I load_int_first(const std::int32_t* p, int n) {
  const M m = lanes_between(0, n);
  return {_mm256_maskload_epi32(p, _mm256_castps_si256(m.a)), _mm256_maskload_epi32(p + 8, _mm256_castps_si256(m.b))};
}
NIBBLE_LANES I zero_int() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
NIBBLE_LANES I set1_int(std::int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
NIBBLE_LANES I set1_bytes(char x) { return {_mm256_set1_epi8(x), _mm256_set1_epi8(x)}; }
NIBBLE_LANES I and_int(I x, I y) { return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)}; }
NIBBLE_LANES I and_not_int(I x, I y) { return {_mm256_andnot_si256(x.a, y.a), _mm256_andnot_si256(x.b, y.b)}; }
NIBBLE_LANES I or_int(I x, I y) { return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)}; }
NIBBLE_LANES I add_int(I x, I y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
NIBBLE_LANES I sub_int(I x, I y) { return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)}; }
NIBBLE_LANES I mul_int(I x, I y) { return {_mm256_mullo_epi32(x.a, y.a), _mm256_mullo_epi32(x.b, y.b)}; }
NIBBLE_LANES I max_int(I x, I y) { return {_mm256_max_epi32(x.a, y.a), _mm256_max_epi32(x.b, y.b)}; }
/// `value` in the int32 lanes where x equals y, else 0.
NIBBLE_LANES I value_where_equal(I x, I y, I value) {
  return {_mm256_and_si256(_mm256_cmpeq_epi32(x.a, y.a), value.a),
          _mm256_and_si256(_mm256_cmpeq_epi32(x.b, y.b), value.b)};
}
template <int n>
NIBBLE_LANES I shift_right_halves(I x) {
  return {_mm256_srli_epi16(x.a, n), _mm256_srli_epi16(x.b, n)};
}
template <int n>
NIBBLE_LANES I shift_left_halves(I x) {
  return {_mm256_slli_epi16(x.a, n), _mm256_slli_epi16(x.b, n)};
}
template <int n>
NIBBLE_LANES I shift_right(I x) {
  return {_mm256_srli_epi32(x.a, n), _mm256_srli_epi32(x.b, n)};
}
template <int n>
NIBBLE_LANES I shift_left(I x) {
  return {_mm256_slli_epi32(x.a, n), _mm256_slli_epi32(x.b, n)};
}

NIBBLE_LANES F to_float(I x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
/// To the nearest integer, halves to even.
NIBBLE_LANES I round_to_int(F x) { return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)}; }
NIBBLE_LANES F bits_as_float(I x) { return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)}; }
NIBBLE_LANES I float_as_bits(F x) { return {_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)}; }
NIBBLE_LANES F halves_to_float(__m256i halves) {
  return {_mm256_cvtph_ps(_mm256_castsi256_si128(halves)), _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1))};
}

/// Sixteen unsigned bytes, signed bytes, or unsigned 16-bit numbers as int32.
NIBBLE_LANES I widen_unsigned_bytes(const std::uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8))};
}
NIBBLE_LANES I widen_signed_bytes(const std::uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))};
}
NIBBLE_LANES I widen_halves(const std::uint8_t* p) {
  const auto* halves = reinterpret_cast<const __m128i*>(p);
  return {_mm256_cvtepu16_epi32(_mm_loadu_si128(halves)), _mm256_cvtepu16_epi32(_mm_loadu_si128(halves + 1))};
}
/// The 16 lanes, which fit in 8 bits, as bytes.
NIBBLE_LANES void store_as_bytes(std::int8_t* p, I x) {
  const __m128i low = _mm_packs_epi32(_mm256_castsi256_si128(x.a), _mm256_extracti128_si256(x.a, 1));
  const __m128i high = _mm_packs_epi32(_mm256_castsi256_si128(x.b), _mm256_extracti128_si256(x.b, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(low, high));
}

NIBBLE_LANES F gather(const float* table, I index) {
  return {_mm256_i32gather_ps(table, index.a, 4), _mm256_i32gather_ps(table, index.b, 4)};
}
NIBBLE_LANES FloatTable load_table(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
NIBBLE_LANES __m256 choose_of_eight(FloatTable table, __m256i index) {
  const __m256 high = _mm256_castsi256_ps(_mm256_slli_epi32(index, 28));
  return _mm256_blendv_ps(_mm256_permutevar8x32_ps(table.low, index), _mm256_permutevar8x32_ps(table.high, index),
                          high);
}
/// The float whose number is in the low 4 bits of each int32 lane.
NIBBLE_LANES F choose(FloatTable table, I index) {
  return {choose_of_eight(table, index.a), choose_of_eight(table, index.b)};
}
/// Sixteen bytes to choose from, for choose_bytes: each byte of `index` is below 16.
NIBBLE_LANES I load_byte_table(const std::uint8_t* p) {
  const __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return {table, table};
}
NIBBLE_LANES I choose_bytes(I table, I index) {
  return {_mm256_shuffle_epi8(table.a, index.a), _mm256_shuffle_epi8(table.b, index.b)};
}

NIBBLE_LANES __m256i low_half(I x) { return x.a; }
NIBBLE_LANES __m256i high_half(I x) { return x.b; }

#include "kernel/lanes/int_x86.inc"

}  // namespace nibble::kernel::avx2
