// exp, tanh, the logistic function and the normal distribution function in float32, as exact sequences of rounded
// steps: the definition that the vector code repeats. Portable; slow where fused multiply-add is a library call.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernel/lanes/lanes.h"
#include "kernel/softmax/exp_constants.h"

namespace nibble::kernel::reference {

/// e^x for x <= 0; within 1 ulp, 0 below -87, NaN for NaN.
inline float exp_nonpositive(float x) noexcept {
  const float t = std::fma(x, kLog2E, kRoundMagic);
  const float n = t - kRoundMagic;
  float r = std::fma(n, -kLn2High, x);
  r = std::fma(n, -kLn2Low, r);
  float p = std::fma(kExp4, r, kExp3);
  p = std::fma(p, r, kExp2);
  p = std::fma(p, r, kExp1);
  p = std::fma(p, r, kExp0);
  const float y = 1.0f + std::fma(r * r, p, r);
  const float power = std::bit_cast<float>((std::bit_cast<std::uint32_t>(t) << 23) + 0x3F800000u);
  return x < kExpUnderflow ? 0.0f : y * power;
}

/// 1 / (1 + e^-x).
inline float logistic(float x) noexcept {
  const float e = exp_nonpositive(-std::fabs(x));
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

inline float tanh(float x) noexcept {
  const float a = std::fabs(x);
  const float square = x * x;
  float p = std::fma(kTanh4, square, kTanh3);
  p = std::fma(p, square, kTanh2);
  p = std::fma(p, square, kTanh1);
  p = std::fma(p, square, kTanh0);
  const float small = std::fma(x * square, p, x);
  const float e = exp_nonpositive(a * -2.0f);
  const float large = 1.0f - (e + e) / (1.0f + e);
  return a < kTanhSplit ? small : std::copysign(large, x);
}

/// The part of the normal distribution below x: (1 + erf(x / sqrt 2)) / 2. The lower tail keeps its relative accuracy.
inline float normal_cdf(float x) noexcept {
  const float a = min(kNormalLimit, std::fabs(x));
  const float square = a * a;
  const float rest = std::fma(a, a, -square);  // a^2 = square + rest exactly
  const float e = exp_nonpositive(square * -0.5f);
  const float t = a * kSqrtHalf;
  const float y = (t - 2.0f) / (t + 2.0f);
  float p = std::fma(kErfc9, y, kErfc8);
  p = std::fma(p, y, kErfc7);
  p = std::fma(p, y, kErfc6);
  p = std::fma(p, y, kErfc5);
  p = std::fma(p, y, kErfc4);
  p = std::fma(p, y, kErfc3);
  p = std::fma(p, y, kErfc2);
  p = std::fma(p, y, kErfc1);
  p = std::fma(p, y, kErfc0);
  const float half_erfcx = (p * 0.5f) / std::fma(t, 2.0f, 1.0f);
  const float corrected = std::fma(e, rest * -0.5f, e);  // e^(-a^2 / 2)
  const float tail = corrected * half_erfcx;
  return x < 0.0f ? tail : 1.0f - tail;
}

}  // namespace nibble::kernel::reference
