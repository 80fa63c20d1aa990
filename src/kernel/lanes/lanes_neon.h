// Sixteen float lanes on NEON, as four registers of four. For instruction-set files only: everything is static, so that
// no copy compiled with other flags can leave its object. Same names and meanings as lanes_avx512.h.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace nibble::kernel::neon {

#define NIBBLE_LANES static inline __attribute__((always_inline))
#if defined(__clang__)
#define NIBBLE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define NIBBLE_UNROLL _Pragma("GCC unroll 16")
#endif

struct F {
  float32x4_t a;  ///< lanes 0..3
  float32x4_t b;  ///< lanes 4..7
  float32x4_t c;  ///< lanes 8..11
  float32x4_t d;  ///< lanes 12..15
};
/// All bits of a lane set, or none.
struct M {
  uint32x4_t a;
  uint32x4_t b;
  uint32x4_t c;
  uint32x4_t d;
};

/// Vectors of 16 lanes that a register tile of `rows` rows is wide: it fits in 32 registers of 4 lanes.
template <int rows>
struct TileWidth {
  static constexpr int value = rows == 1 ? 4 : rows == 2 ? 2 : 1;
};

NIBBLE_LANES F set1(float x) {
  const float32x4_t all = vdupq_n_f32(x);
  return {all, all, all, all};
}
NIBBLE_LANES F zero() { return set1(0.0f); }
NIBBLE_LANES F load(const float* p) { return {vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)}; }
NIBBLE_LANES void store(float* p, F x) {
  vst1q_f32(p, x.a);
  vst1q_f32(p + 4, x.b);
  vst1q_f32(p + 8, x.c);
  vst1q_f32(p + 12, x.d);
}
NIBBLE_LANES M lanes_between(int begin, int end) {
  const int32x4_t before = vdupq_n_s32(begin - 1);
  const int32x4_t after = vdupq_n_s32(end);
  const auto within = [&](int32x4_t lane) __attribute__((always_inline)) {
    return vandq_u32(vcgtq_s32(lane, before), vcgtq_s32(after, lane));
  };
  const int32x4_t first = {0, 1, 2, 3};
  return {within(first), within(vaddq_s32(first, vdupq_n_s32(4))), within(vaddq_s32(first, vdupq_n_s32(8))),
          within(vaddq_s32(first, vdupq_n_s32(12)))};
}
/// NEON has no masked access: what is not whole goes lane by lane through memory of its own.
NIBBLE_LANES F load_first(const float* p, int n) {
  if (n == 16) return load(p);
  float lanes[16] = {};
  for (int i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}
NIBBLE_LANES void store_first(float* p, F x, int n) {
  if (n == 16) return store(p, x);
  float lanes[16];
  store(lanes, x);
  for (int i = 0; i < n; ++i) p[i] = lanes[i];
}
NIBBLE_LANES float32x4_t load_four_halves(const std::uint16_t* p) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
NIBBLE_LANES F load_half(const std::uint16_t* p) {
  return {load_four_halves(p), load_four_halves(p + 4), load_four_halves(p + 8), load_four_halves(p + 12)};
}
NIBBLE_LANES F set1_half(std::uint16_t x) {
  const float32x4_t all = vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(x)));
  return {all, all, all, all};
}
NIBBLE_LANES void store_half(std::uint16_t* p, F x) {
  vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(x.a)));
  vst1_u16(p + 4, vreinterpret_u16_f16(vcvt_f16_f32(x.b)));
  vst1_u16(p + 8, vreinterpret_u16_f16(vcvt_f16_f32(x.c)));
  vst1_u16(p + 12, vreinterpret_u16_f16(vcvt_f16_f32(x.d)));
}
NIBBLE_LANES F add(F x, F y) {
  return {vaddq_f32(x.a, y.a), vaddq_f32(x.b, y.b), vaddq_f32(x.c, y.c), vaddq_f32(x.d, y.d)};
}
NIBBLE_LANES F sub(F x, F y) {
  return {vsubq_f32(x.a, y.a), vsubq_f32(x.b, y.b), vsubq_f32(x.c, y.c), vsubq_f32(x.d, y.d)};
}
NIBBLE_LANES F mul(F x, F y) {
  return {vmulq_f32(x.a, y.a), vmulq_f32(x.b, y.b), vmulq_f32(x.c, y.c), vmulq_f32(x.d, y.d)};
}
NIBBLE_LANES F div(F x, F y) {
  return {vdivq_f32(x.a, y.a), vdivq_f32(x.b, y.b), vdivq_f32(x.c, y.c), vdivq_f32(x.d, y.d)};
}
NIBBLE_LANES F fma(F x, F y, F z) {
  return {vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b), vfmaq_f32(z.c, x.c, y.c), vfmaq_f32(z.d, x.d, y.d)};
}
NIBBLE_LANES F select(M m, F yes, F no) {
  return {vbslq_f32(m.a, yes.a, no.a), vbslq_f32(m.b, yes.b, no.b), vbslq_f32(m.c, yes.c, no.c),
          vbslq_f32(m.d, yes.d, no.d)};
}
/// False where either is NaN.
NIBBLE_LANES M less(F x, F y) {
  return {vcltq_f32(x.a, y.a), vcltq_f32(x.b, y.b), vcltq_f32(x.c, y.c), vcltq_f32(x.d, y.d)};
}
/// fmax and fmin know neither x86's answer for NaN nor its for zeros of both signs: the second operand.
NIBBLE_LANES F max(F x, F y) { return select(less(y, x), x, y); }
NIBBLE_LANES F min(F x, F y) { return select(less(x, y), x, y); }
NIBBLE_LANES F abs(F x) { return {vabsq_f32(x.a), vabsq_f32(x.b), vabsq_f32(x.c), vabsq_f32(x.d)}; }
/// How many lanes of x and y differ.
NIBBLE_LANES int lanes_that_differ(F x, F y) {
  const uint32x4_t low = vaddq_u32(vceqq_f32(x.a, y.a), vceqq_f32(x.b, y.b));
  const uint32x4_t high = vaddq_u32(vceqq_f32(x.c, y.c), vceqq_f32(x.d, y.d));
  return 16 + static_cast<int>(vaddvq_u32(vaddq_u32(low, high)));  // an equal lane is -1
}
NIBBLE_LANES F with_sign(F x, F s) {
  const uint32x4_t sign = vdupq_n_u32(0x80000000u);
  return select({sign, sign, sign, sign}, s, x);
}
NIBBLE_LANES float32x4_t power_of_two_of_four(float32x4_t t) {
  const int32x4_t shifted = vshlq_n_s32(vreinterpretq_s32_f32(t), 23);
  return vreinterpretq_f32_s32(vaddq_s32(shifted, vdupq_n_s32(0x3F800000)));
}
NIBBLE_LANES F power_of_two(F t) {
  return {power_of_two_of_four(t.a), power_of_two_of_four(t.b), power_of_two_of_four(t.c), power_of_two_of_four(t.d)};
}

/// Sixteen lanes to one in the tree that lanes.h defines for the reference: lane i meets lane i + 8, then i + 4, i + 2,
/// i + 1.
NIBBLE_LANES float reduce_add(F x) {
  const float32x4_t four = vaddq_f32(vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d));
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
NIBBLE_LANES float reduce_max(F x) {
  const F eight = max(x, {x.c, x.d, x.c, x.d});
  const F four = max(eight, {eight.b, eight.b, eight.b, eight.b});
  const float a = vgetq_lane_f32(four.a, 0);
  const float b = vgetq_lane_f32(four.a, 1);
  const float c = vgetq_lane_f32(four.a, 2);
  const float d = vgetq_lane_f32(four.a, 3);
  const float even = a > c ? a : c;
  const float odd = b > d ? b : d;
  return even > odd ? even : odd;
}

/// Four vectors, lanes j, j + 16, j + 32, j + 48 of a sum in 64 lanes: lane i meets lane i + 32, then i + 16.
NIBBLE_LANES float reduce_add_64(F x0, F x1, F x2, F x3) { return reduce_add(add(add(x0, x2), add(x1, x3))); }

NIBBLE_LANES float square_root(float x) { return vget_lane_f32(vsqrt_f32(vdup_n_f32(x)), 0); }
NIBBLE_LANES float first_lane(F x) { return vgetq_lane_f32(x.a, 0); }

}  // namespace nibble::kernel::neon
