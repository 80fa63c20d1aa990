#include "format/ggml_blocks_fp4.h"

#include <bit>
#include <cmath>

namespace nibble {
namespace {

/// E2M1 times two; with it goes half the scale.
constexpr float kDoubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// 2^(scale - 128) for every byte.
float half_power(std::uint8_t scale) {
  if (scale < 2) return std::bit_cast<float>(0x00200000u << scale);
  return std::bit_cast<float>(static_cast<std::uint32_t>(scale - 1) << 23);
}

/// Half of ggml's unsigned E4M3 value.
float half_scale(std::uint8_t code) {
  if (code == 0x7F) return 0.0f;
  const int exponent = (code >> 3) & 15;
  const auto mantissa = static_cast<float>(code & 7);
  if (exponent == 0) return mantissa * 0x1p-10f;
  const float power = std::bit_cast<float>(static_cast<std::uint32_t>(exponent - 8 + 127) << 23);
  return (1.0f + mantissa / 8.0f) * power;
}

/// split_nibbles() with code 8 (-0) read as 0.
template <int kCount>
void split_e2m1(const std::uint8_t* bytes, std::uint8_t* codes) {
  std::uint8_t local[2 * kCount];  // of its own, so that the compiler sees that nothing overlaps
  split_nibbles(bytes, kCount, local);
  for (std::uint8_t& code : local) code = code == 8 ? std::uint8_t{0} : code;
  std::memcpy(codes, local, sizeof local);
}

/// ggml's: the power of two that brings the largest magnitude to 4..8, though E2M1 ends at 6. 254 at most.
std::uint8_t mxfp4_scale(float magnitude) {
  if (!(magnitude > 0.0f)) return 0;
  const float exponent = std::floor(std::log2(magnitude)) - 2.0f + 127.0f;
  const float low = exponent > 0.0f ? exponent : 0.0f;
  return static_cast<std::uint8_t>(low < 254.0f ? low : 254.0f);
}

}  // namespace

void GgmlMxfp4::quantize(const float* values, Block& out) noexcept {
  out.scale = mxfp4_scale(magnitude_of(values, 32));
  const float scale = half_power(out.scale);
  std::uint8_t codes[32] = {};
  float errors[32];
  for (int i = 0; i < 32; ++i) errors[i] = std::fabs(values[i]);
  for (int code = 1; code < 16; ++code) {  // the first of equally near ones, so that -0 is never taken
    for (int i = 0; i < 32; ++i) {
      const float error = std::fabs(kDoubled[code] * scale - values[i]);
      codes[i] = error < errors[i] ? static_cast<std::uint8_t>(code) : codes[i];
      errors[i] = error < errors[i] ? error : errors[i];
    }
  }
  join_nibbles(codes, 16, out.codes);
}
void GgmlMxfp4::dequantize(const Block& in, float* values) noexcept {
  const float scale = half_power(in.scale);
  for (int j = 0; j < 16; ++j) {
    values[j] = kDoubled[in.codes[j] & 15] * scale;
    values[16 + j] = kDoubled[in.codes[j] >> 4] * scale;
  }
}
void GgmlMxfp4::unpack(const Block& in, const GgmlParts& out) noexcept {
  out.scales[0] = in.scale;
  split_e2m1<16>(in.codes, out.codes);
}
void GgmlMxfp4::pack(const GgmlConstParts& in, Block& out) noexcept {
  out.scale = in.scales[0];
  join_nibbles(in.codes, 16, out.codes);
}

void GgmlNvfp4::dequantize(const Block& in, float* values) noexcept {
  for (int s = 0; s < 4; ++s) {
    const float scale = half_scale(in.scales[s]);
    for (int j = 0; j < 8; ++j) {
      values[16 * s + j] = kDoubled[in.codes[8 * s + j] & 15] * scale;
      values[16 * s + 8 + j] = kDoubled[in.codes[8 * s + j] >> 4] * scale;
    }
  }
}
void GgmlNvfp4::unpack(const Block& in, const GgmlParts& out) noexcept {
  for (int s = 0; s < 4; ++s) {
    out.scale_codes[s] = in.scales[s] == 0x7F ? std::uint8_t{0} : static_cast<std::uint8_t>(in.scales[s] & 0x7F);
    split_e2m1<8>(in.codes + 8 * s, out.codes + 16 * s);
  }
}

}  // namespace nibble
