// IEEE half precision and bfloat16 as bit patterns: conversions that round to nearest even, in portable scalar code.
#pragma once

#include <bit>
#include <cstdint>

namespace nibble {

/// Half to float; exact for every code. Without branches, so that loops over it vectorize: the exponent is moved as if
/// its bias were float's, and the product mends it, for subnormals too.
inline float f16_to_f32(std::uint16_t h) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16;
  const std::uint32_t moved = static_cast<std::uint32_t>(h & 0x7FFFu) << 13;
  const std::uint32_t finite = std::bit_cast<std::uint32_t>(std::bit_cast<float>(moved) * 0x1p112f);
  const std::uint32_t special = moved | 0x7F800000u;  // infinities and NaN
  return std::bit_cast<float>(sign | (moved >= 0x0F800000u ? special : finite));
}

/// Float to half, ties to even. Overflow gives infinity, NaN gives sign | 0x7E00, subnormals are kept.
inline std::uint16_t f32_to_f16(float value) noexcept {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return static_cast<std::uint16_t>(sign | 0x7E00u);
  if (magnitude >= 0x477FF000u) return static_cast<std::uint16_t>(sign | 0x7C00u);  // rounds to infinity
  if (magnitude < 0x38800000u) {  // below 2^-14: the sum's low bits are the subnormal, rounded by the hardware
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3F000000u));
  }
  const std::uint32_t rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u);
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

inline float bf16_to_f32(std::uint16_t b) noexcept { return std::bit_cast<float>(static_cast<std::uint32_t>(b) << 16); }

/// Float to bfloat16, ties to even; NaN stays NaN with its quiet bit set, subnormals are kept.
inline std::uint16_t f32_to_bf16(float value) noexcept {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace nibble
