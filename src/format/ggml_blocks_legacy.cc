// The quantizers give the bytes of ggml's reference quantizers (docs/formats/gguf.md): the same float32 operations in
// the same order, made safe for infinities and NaN, which ggml leaves undefined.
#include "format/ggml_blocks_legacy.h"

#include <cmath>
#include <limits>

#include "base/half.h"

namespace nibble {
namespace {

/// trunc(x), kept within 0..highest; NaN gives 0.
inline std::uint8_t code_of(float x, float highest) {
  const float low = x > 0.0f ? x : 0.0f;
  const float both = low < highest ? low : highest;
  return static_cast<std::uint8_t>(static_cast<int>(both));
}

/// roundf(x), kept within -128..127; NaN gives -128.
inline std::int8_t rounded_code(float x) {
  // The largest float below one half: with it, truncation rounds halves away from zero and nothing else up.
  const float away = x + std::copysign(0.49999997f, x);
  const float low = away > -128.0f ? away : -128.0f;
  const float both = low < 127.0f ? low : 127.0f;
  return static_cast<std::int8_t>(static_cast<int>(both));
}

inline float inverse(float scale) { return scale != 0.0f ? 1.0f / scale : 0.0f; }

/// The first of the values that are largest in magnitude.
float signed_max(const float* values, int count) {
  float magnitude = 0.0f;
  float best = 0.0f;
  for (int i = 0; i < count; ++i) {
    const float here = std::fabs(values[i]);
    if (magnitude < here) {
      magnitude = here;
      best = values[i];
    }
  }
  return best;
}

struct Range {
  float low = std::numeric_limits<float>::max();
  float high = -std::numeric_limits<float>::max();
};

Range range_of(const float* values, int count) {
  Range range;
  for (int i = 0; i < count; ++i) {
    range.low = values[i] < range.low ? values[i] : range.low;
    range.high = values[i] > range.high ? values[i] : range.high;
  }
  return range;
}

/// Codes of 0..2 * centre - 1 around `centre`, their scale returned: Q4_0 and Q5_0.
float quantize_symmetric(const float* values, float centre, std::uint8_t* codes) {
  const float scale = signed_max(values, 32) / -centre;
  const float factor = inverse(scale);
  for (int i = 0; i < 32; ++i) codes[i] = code_of(values[i] * factor + (centre + 0.5f), 2.0f * centre - 1.0f);
  return scale;
}

/// Codes of 0..highest above the smallest value: Q4_1 and Q5_1.
float quantize_affine(const float* values, float highest, float& low, std::uint8_t* codes) {
  const Range range = range_of(values, 32);
  const float scale = (range.high - range.low) / highest;
  const float factor = inverse(scale);
  low = range.low;
  for (int i = 0; i < 32; ++i) codes[i] = code_of((values[i] - low) * factor + 0.5f, highest);
  return scale;
}

void split_five_bits(const std::uint8_t* low, const std::uint8_t* high_bits, std::uint8_t* codes) {
  std::uint8_t nibbles[32];  // of its own, so that the compiler sees that nothing overlaps
  std::uint8_t bits[32];
  split_nibbles(low, 16, nibbles);
  for (int b = 0; b < 4; ++b) std::memcpy(bits + 8 * b, kBitBytes.bytes[high_bits[b]], 8);
  for (int i = 0; i < 32; ++i) nibbles[i] = static_cast<std::uint8_t>(nibbles[i] | bits[i] << 4);
  std::memcpy(codes, nibbles, 32);
}

void join_fifth_bits(const std::uint8_t* codes, std::uint8_t* high_bits) {
  for (int b = 0; b < 4; ++b) {
    unsigned bits = 0;
    for (int i = 0; i < 8; ++i) bits |= ((codes[8 * b + i] >> 4) & 1u) << i;
    high_bits[b] = static_cast<std::uint8_t>(bits);
  }
}

template <typename Format>
void dequantize_codes(const typename Format::Block& in, int bias, float* values) {
  const GgmlUnpacked<Format> parts(in);
  const float scale = f16_to_f32(in.scale);
  for (int i = 0; i < 32; ++i) values[i] = static_cast<float>(parts.codes[i] - bias) * scale;
}

template <typename Format>
void dequantize_with_offset(const typename Format::Block& in, float* values) {
  const GgmlUnpacked<Format> parts(in);
  const float scale = f16_to_f32(in.scale);
  const float offset = f16_to_f32(in.offset);
  for (int i = 0; i < 32; ++i) values[i] = static_cast<float>(parts.codes[i]) * scale + offset;
}

}  // namespace

void GgmlQ4_0::quantize(const float* values, Block& out) noexcept {
  std::uint8_t codes[32];
  out.scale = f32_to_f16(quantize_symmetric(values, 8.0f, codes));
  join_nibbles(codes, 16, out.codes);
}
void GgmlQ4_0::dequantize(const Block& in, float* values) noexcept { dequantize_codes<GgmlQ4_0>(in, 8, values); }
void GgmlQ4_0::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  split_nibbles(in.codes, 16, out.codes);
}
void GgmlQ4_0::pack(const GgmlConstParts& in, Block& out) noexcept {
  out.scale = load_half(in.scales);
  join_nibbles(in.codes, 16, out.codes);
}

void GgmlQ4_1::quantize(const float* values, Block& out) noexcept {
  std::uint8_t codes[32];
  float low;
  out.scale = f32_to_f16(quantize_affine(values, 15.0f, low, codes));
  out.offset = f32_to_f16(low);
  join_nibbles(codes, 16, out.codes);
}
void GgmlQ4_1::dequantize(const Block& in, float* values) noexcept { dequantize_with_offset<GgmlQ4_1>(in, values); }
void GgmlQ4_1::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  store_half(out.offsets, in.offset);
  split_nibbles(in.codes, 16, out.codes);
}
void GgmlQ4_1::pack(const GgmlConstParts& in, Block& out) noexcept {
  out.scale = load_half(in.scales);
  out.offset = load_half(in.offsets);
  join_nibbles(in.codes, 16, out.codes);
}

void GgmlQ5_0::quantize(const float* values, Block& out) noexcept {
  std::uint8_t codes[32];
  out.scale = f32_to_f16(quantize_symmetric(values, 16.0f, codes));
  join_nibbles(codes, 16, out.codes);
  join_fifth_bits(codes, out.high_bits);
}
void GgmlQ5_0::dequantize(const Block& in, float* values) noexcept { dequantize_codes<GgmlQ5_0>(in, 16, values); }
void GgmlQ5_0::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  split_five_bits(in.codes, in.high_bits, out.codes);
}
void GgmlQ5_0::pack(const GgmlConstParts& in, Block& out) noexcept {
  out.scale = load_half(in.scales);
  join_nibbles(in.codes, 16, out.codes);
  join_fifth_bits(in.codes, out.high_bits);
}

void GgmlQ5_1::quantize(const float* values, Block& out) noexcept {
  std::uint8_t codes[32];
  float low;
  out.scale = f32_to_f16(quantize_affine(values, 31.0f, low, codes));
  out.offset = f32_to_f16(low);
  join_nibbles(codes, 16, out.codes);
  join_fifth_bits(codes, out.high_bits);
}
void GgmlQ5_1::dequantize(const Block& in, float* values) noexcept { dequantize_with_offset<GgmlQ5_1>(in, values); }
void GgmlQ5_1::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  store_half(out.offsets, in.offset);
  split_five_bits(in.codes, in.high_bits, out.codes);
}
void GgmlQ5_1::pack(const GgmlConstParts& in, Block& out) noexcept {
  out.scale = load_half(in.scales);
  out.offset = load_half(in.offsets);
  join_nibbles(in.codes, 16, out.codes);
  join_fifth_bits(in.codes, out.high_bits);
}

void GgmlQ8_0::quantize(const float* values, Block& out) noexcept {
  const float scale = magnitude_of(values, 32) / 127.0f;
  const float factor = inverse(scale);
  out.scale = f32_to_f16(scale);
  for (int i = 0; i < 32; ++i) out.codes[i] = rounded_code(values[i] * factor);
}
void GgmlQ8_0::dequantize(const Block& in, float* values) noexcept {
  const float scale = f16_to_f32(in.scale);
  for (int i = 0; i < 32; ++i) values[i] = static_cast<float>(in.codes[i]) * scale;
}
void GgmlQ8_0::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  for (int i = 0; i < 32; ++i) out.codes[i] = static_cast<std::uint8_t>(in.codes[i] + 128);
}
void GgmlQ8_0::pack(const GgmlConstParts& in, Block& out) noexcept {
  out.scale = load_half(in.scales);
  for (int i = 0; i < 32; ++i) out.codes[i] = static_cast<std::int8_t>(in.codes[i] - 128);
}

void GgmlQ8_1::quantize(const float* values, Block& out) noexcept {
  const float scale = magnitude_of(values, 32) / 127.0f;
  const float factor = inverse(scale);
  int sum = 0;
  for (int i = 0; i < 32; ++i) {
    out.codes[i] = rounded_code(values[i] * factor);
    sum += out.codes[i];
  }
  out.scale = f32_to_f16(scale);
  out.sum = f32_to_f16(static_cast<float>(sum) * scale);
}
void GgmlQ8_1::dequantize(const Block& in, float* values) noexcept {
  const float scale = f16_to_f32(in.scale);
  for (int i = 0; i < 32; ++i) values[i] = static_cast<float>(in.codes[i]) * scale;
}

}  // namespace nibble
