// Sixty-four bytes on NEON, as four registers: 64 bytes, 32 halves or 16 int32 lanes beside the float lanes of
// lanes_neon.h. For instruction-set files only. Same names and meanings as int_lanes_avx512.h.
#pragma once

#include "kernel/lanes/lanes_neon.h"

namespace nibble::kernel::neon {

struct I {
  int32x4_t a;  ///< bytes 0..15
  int32x4_t b;  ///< bytes 16..31
  int32x4_t c;  ///< bytes 32..47
  int32x4_t d;  ///< bytes 48..63
};

/// Sixteen floats to choose from.
using FloatTable = uint8x16x4_t;

NIBBLE_LANES uint8x16_t as_bytes(int32x4_t x) { return vreinterpretq_u8_s32(x); }
NIBBLE_LANES int32x4_t of_bytes(uint8x16_t x) { return vreinterpretq_s32_u8(x); }

NIBBLE_LANES int32x4_t load_int_register(const void* p) {
  return of_bytes(vld1q_u8(static_cast<const std::uint8_t*>(p)));
}
NIBBLE_LANES I load_int(const void* p) {
  const auto* bytes = static_cast<const std::uint8_t*>(p);
  return {load_int_register(bytes), load_int_register(bytes + 16), load_int_register(bytes + 32),
          load_int_register(bytes + 48)};
}
NIBBLE_LANES void store_int(void* p, I x) {
  auto* bytes = static_cast<std::uint8_t*>(p);
  vst1q_u8(bytes, as_bytes(x.a));
  vst1q_u8(bytes + 16, as_bytes(x.b));
  vst1q_u8(bytes + 32, as_bytes(x.c));
  vst1q_u8(bytes + 48, as_bytes(x.d));
}
/// The first n lanes from memory, 0 <= n <= 16, the others 0; touches nothing past them.
NIBBLE_LANES I load_int_first(const std::int32_t* p, int n) {
  if (n == 16) return load_int(p);
  std::int32_t lanes[16] = {};
  for (int i = 0; i < n; ++i) lanes[i] = p[i];
  return load_int(lanes);
}
NIBBLE_LANES I set1_int(std::int32_t x) {
  const int32x4_t all = vdupq_n_s32(x);
  return {all, all, all, all};
}
NIBBLE_LANES I zero_int() { return set1_int(0); }
NIBBLE_LANES I set1_bytes(char x) {
  const int32x4_t all = of_bytes(vdupq_n_u8(static_cast<std::uint8_t>(x)));
  return {all, all, all, all};
}
NIBBLE_LANES I and_int(I x, I y) {
  return {vandq_s32(x.a, y.a), vandq_s32(x.b, y.b), vandq_s32(x.c, y.c), vandq_s32(x.d, y.d)};
}
/// y without the bits of x.
NIBBLE_LANES I and_not_int(I x, I y) {
  return {vbicq_s32(y.a, x.a), vbicq_s32(y.b, x.b), vbicq_s32(y.c, x.c), vbicq_s32(y.d, x.d)};
}
NIBBLE_LANES I or_int(I x, I y) {
  return {vorrq_s32(x.a, y.a), vorrq_s32(x.b, y.b), vorrq_s32(x.c, y.c), vorrq_s32(x.d, y.d)};
}
NIBBLE_LANES I xor_int(I x, I y) {
  return {veorq_s32(x.a, y.a), veorq_s32(x.b, y.b), veorq_s32(x.c, y.c), veorq_s32(x.d, y.d)};
}
NIBBLE_LANES I add_int(I x, I y) {
  return {vaddq_s32(x.a, y.a), vaddq_s32(x.b, y.b), vaddq_s32(x.c, y.c), vaddq_s32(x.d, y.d)};
}
NIBBLE_LANES I sub_int(I x, I y) {
  return {vsubq_s32(x.a, y.a), vsubq_s32(x.b, y.b), vsubq_s32(x.c, y.c), vsubq_s32(x.d, y.d)};
}
NIBBLE_LANES I mul_int(I x, I y) {
  return {vmulq_s32(x.a, y.a), vmulq_s32(x.b, y.b), vmulq_s32(x.c, y.c), vmulq_s32(x.d, y.d)};
}
NIBBLE_LANES I max_int(I x, I y) {
  return {vmaxq_s32(x.a, y.a), vmaxq_s32(x.b, y.b), vmaxq_s32(x.c, y.c), vmaxq_s32(x.d, y.d)};
}
NIBBLE_LANES int32x4_t four_where_equal(int32x4_t x, int32x4_t y, int32x4_t value) {
  return vandq_s32(vreinterpretq_s32_u32(vceqq_s32(x, y)), value);
}
/// `value` in the int32 lanes where x equals y, else 0.
NIBBLE_LANES I value_where_equal(I x, I y, I value) {
  return {four_where_equal(x.a, y.a, value.a), four_where_equal(x.b, y.b, value.b), four_where_equal(x.c, y.c, value.c),
          four_where_equal(x.d, y.d, value.d)};
}

// Shifts. The instruction to the right has no form for 0 bits.
template <int n>
NIBBLE_LANES int32x4_t shift_register_right_halves(int32x4_t x) {
  if constexpr (n == 0)
    return x;
  else
    return vreinterpretq_s32_u16(vshrq_n_u16(vreinterpretq_u16_s32(x), n));
}
template <int n>
NIBBLE_LANES int32x4_t shift_register_left_halves(int32x4_t x) {
  return vreinterpretq_s32_u16(vshlq_n_u16(vreinterpretq_u16_s32(x), n));
}
template <int n>
NIBBLE_LANES int32x4_t shift_register_right(int32x4_t x) {
  return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(x), n));
}
template <int n>
NIBBLE_LANES I shift_right_halves(I x) {
  return {shift_register_right_halves<n>(x.a), shift_register_right_halves<n>(x.b), shift_register_right_halves<n>(x.c),
          shift_register_right_halves<n>(x.d)};
}
template <int n>
NIBBLE_LANES I shift_left_halves(I x) {
  return {shift_register_left_halves<n>(x.a), shift_register_left_halves<n>(x.b), shift_register_left_halves<n>(x.c),
          shift_register_left_halves<n>(x.d)};
}
template <int n>
NIBBLE_LANES I shift_right(I x) {
  return {shift_register_right<n>(x.a), shift_register_right<n>(x.b), shift_register_right<n>(x.c),
          shift_register_right<n>(x.d)};
}
template <int n>
NIBBLE_LANES I shift_left(I x) {
  return {vshlq_n_s32(x.a, n), vshlq_n_s32(x.b, n), vshlq_n_s32(x.c, n), vshlq_n_s32(x.d, n)};
}

template <int first, int count>
NIBBLE_LANES int32x4_t bits_of_sixteen_bytes(int32x4_t x) {
  uint8x16_t bytes = as_bytes(x);
  if constexpr (first > 0) bytes = vshrq_n_u8(bytes, first);
  if constexpr (first + count < 8) bytes = vandq_u8(bytes, vdupq_n_u8((1 << count) - 1));
  return of_bytes(bytes);
}
/// Bits [first, first + count) of each byte.
template <int first, int count>
NIBBLE_LANES I bits_of_bytes(I x) {
  return {bits_of_sixteen_bytes<first, count>(x.a), bits_of_sixteen_bytes<first, count>(x.b),
          bits_of_sixteen_bytes<first, count>(x.c), bits_of_sixteen_bytes<first, count>(x.d)};
}
template <int n>
NIBBLE_LANES int32x4_t join_sixteen(int32x4_t low, int32x4_t high) {
  return of_bytes(vsliq_n_u8(as_bytes(low), as_bytes(high), n));
}
/// Bytes of `low`, numbers of n bits, with `high` above them.
template <int n>
NIBBLE_LANES I join_bits(I low, I high) {
  return {join_sixteen<n>(low.a, high.a), join_sixteen<n>(low.b, high.b), join_sixteen<n>(low.c, high.c),
          join_sixteen<n>(low.d, high.d)};
}

NIBBLE_LANES F to_float(I x) {
  return {vcvtq_f32_s32(x.a), vcvtq_f32_s32(x.b), vcvtq_f32_s32(x.c), vcvtq_f32_s32(x.d)};
}
/// To the nearest integer, halves to even.
NIBBLE_LANES I round_to_int(F x) {
  return {vcvtnq_s32_f32(x.a), vcvtnq_s32_f32(x.b), vcvtnq_s32_f32(x.c), vcvtnq_s32_f32(x.d)};
}
NIBBLE_LANES F bits_as_float(I x) {
  return {vreinterpretq_f32_s32(x.a), vreinterpretq_f32_s32(x.b), vreinterpretq_f32_s32(x.c),
          vreinterpretq_f32_s32(x.d)};
}
NIBBLE_LANES I float_as_bits(F x) {
  return {vreinterpretq_s32_f32(x.a), vreinterpretq_s32_f32(x.b), vreinterpretq_s32_f32(x.c),
          vreinterpretq_s32_f32(x.d)};
}

// Eight halves as int32.
NIBBLE_LANES int32x4_t low_unsigned(uint16x8_t x) { return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(x))); }
NIBBLE_LANES int32x4_t high_unsigned(uint16x8_t x) { return vreinterpretq_s32_u32(vmovl_high_u16(x)); }

/// Sixteen unsigned bytes, signed bytes, or unsigned 16-bit numbers as int32.
NIBBLE_LANES I widen_unsigned_bytes(const std::uint8_t* p) {
  const uint8x16_t bytes = vld1q_u8(p);
  const uint16x8_t low = vmovl_u8(vget_low_u8(bytes));
  const uint16x8_t high = vmovl_high_u8(bytes);
  return {low_unsigned(low), high_unsigned(low), low_unsigned(high), high_unsigned(high)};
}
NIBBLE_LANES I widen_signed_bytes(const std::uint8_t* p) {
  const int8x16_t bytes = vreinterpretq_s8_u8(vld1q_u8(p));
  const int16x8_t low = vmovl_s8(vget_low_s8(bytes));
  const int16x8_t high = vmovl_high_s8(bytes);
  return {vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)};
}
NIBBLE_LANES I widen_halves(const std::uint8_t* p) {
  const uint16x8_t low = vreinterpretq_u16_u8(vld1q_u8(p));
  const uint16x8_t high = vreinterpretq_u16_u8(vld1q_u8(p + 16));
  return {low_unsigned(low), high_unsigned(low), low_unsigned(high), high_unsigned(high)};
}
/// The 16 lanes, which fit in 8 bits, as bytes.
NIBBLE_LANES void store_as_bytes(std::int8_t* p, I x) {
  const int16x8_t low = vmovn_high_s32(vmovn_s32(x.a), x.b);
  const int16x8_t high = vmovn_high_s32(vmovn_s32(x.c), x.d);
  vst1q_s8(p, vmovn_high_s16(vmovn_s16(low), high));
}

// Eight halves as floats.
NIBBLE_LANES float32x4_t low_floats(uint16x8_t x) { return vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(x))); }
NIBBLE_LANES float32x4_t high_floats(uint16x8_t x) { return vcvt_high_f32_f16(vreinterpretq_f16_u16(x)); }
/// In the place of a half an E4M3 code has the value / 256; its NaN is made a half's.
NIBBLE_LANES uint16x8_t e4m3_to_halves(uint16x8_t code) {
  const uint16x8_t largest = vdupq_n_u16(0x7F);
  const uint16x8_t magnitude = vandq_u16(code, largest);
  const uint16x8_t sign = vshlq_n_u16(vandq_u16(code, vdupq_n_u16(0x80)), 8);
  const uint16x8_t nan = vandq_u16(vceqq_u16(magnitude, largest), vdupq_n_u16(0x7E00));
  return vorrq_u16(vorrq_u16(vshlq_n_u16(magnitude, 7), sign), nan);
}
/// Sixteen E4M3 or E5M2 codes as floats.
NIBBLE_LANES F load_e4m3(const std::uint8_t* p) {
  const uint8x16_t bytes = vld1q_u8(p);
  const uint16x8_t low = e4m3_to_halves(vmovl_u8(vget_low_u8(bytes)));
  const uint16x8_t high = e4m3_to_halves(vmovl_high_u8(bytes));
  return mul({low_floats(low), high_floats(low), low_floats(high), high_floats(high)}, set1(256.0f));
}
NIBBLE_LANES F load_e5m2(const std::uint8_t* p) {
  const uint8x16_t bytes = vld1q_u8(p);
  const uint16x8_t low = vshll_n_u8(vget_low_u8(bytes), 8);
  const uint16x8_t high = vshll_high_n_u8(bytes, 8);
  return {low_floats(low), high_floats(low), low_floats(high), high_floats(high)};
}

NIBBLE_LANES F gather(const float* table, I index) {
  std::int32_t at[16];
  float found[16];
  store_int(at, index);
  for (int i = 0; i < 16; ++i) found[i] = table[at[i]];
  return load(found);
}
NIBBLE_LANES FloatTable load_table(const float* p) { return vld1q_u8_x4(reinterpret_cast<const std::uint8_t*>(p)); }
NIBBLE_LANES float32x4_t choose_four(FloatTable table, int32x4_t index) {
  // The numbers of a float's four bytes.
  const uint32x4_t number = vandq_u32(vreinterpretq_u32_s32(index), vdupq_n_u32(15));
  const uint32x4_t bytes = vmlaq_u32(vdupq_n_u32(0x03020100), number, vdupq_n_u32(0x04040404));
  return vreinterpretq_f32_u8(vqtbl4q_u8(table, vreinterpretq_u8_u32(bytes)));
}
/// The float whose number is in the low 4 bits of each int32 lane.
NIBBLE_LANES F choose(FloatTable table, I index) {
  return {choose_four(table, index.a), choose_four(table, index.b), choose_four(table, index.c),
          choose_four(table, index.d)};
}
/// Sixteen bytes to choose from, for choose_bytes: each byte of `index` is below 16.
NIBBLE_LANES I load_byte_table(const std::uint8_t* p) {
  const int32x4_t table = load_int_register(p);
  return {table, table, table, table};
}
NIBBLE_LANES int32x4_t choose_sixteen(int32x4_t table, int32x4_t index) {
  return of_bytes(vqtbl1q_u8(as_bytes(table), as_bytes(index)));
}
NIBBLE_LANES I choose_bytes(I table, I index) {
  return {choose_sixteen(table.a, index.a), choose_sixteen(table.b, index.b), choose_sixteen(table.c, index.c),
          choose_sixteen(table.d, index.d)};
}

/// Sixteen int32 lanes to one.
NIBBLE_LANES std::int32_t reduce_add_int(I x) {
  return vaddvq_s32(vaddq_s32(vaddq_s32(x.a, x.b), vaddq_s32(x.c, x.d)));
}
NIBBLE_LANES std::int32_t reduce_max_int(I x) {
  return vmaxvq_s32(vmaxq_s32(vmaxq_s32(x.a, x.b), vmaxq_s32(x.c, x.d)));
}

}  // namespace nibble::kernel::neon
