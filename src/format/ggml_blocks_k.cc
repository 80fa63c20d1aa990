#include "format/ggml_blocks_k.h"

#include <cmath>

#include "base/half.h"

namespace nibble {
namespace {

/// 2-bit codes of Q2_K and Q3_K: element i is bits 2 * ((i % 128) / 32) of byte 32 * (i / 128) + i % 32.
void split_two_bits(const std::uint8_t* bytes, std::uint8_t* codes) {
  for (int half = 0; half < 2; ++half) {
    for (int k = 0; k < 4; ++k) {
      for (int l = 0; l < 32; ++l) codes[128 * half + 32 * k + l] = (bytes[32 * half + l] >> (2 * k)) & 3;
    }
  }
}

void join_two_bits(const std::uint8_t* codes, std::uint8_t* bytes) {
  for (int half = 0; half < 2; ++half) {
    const std::uint8_t* from = codes + 128 * half;
    for (int l = 0; l < 32; ++l) {
      bytes[32 * half + l] = static_cast<std::uint8_t>((from[l] & 3) | (from[32 + l] & 3) << 2 |
                                                       (from[64 + l] & 3) << 4 | (from[96 + l] & 3) << 6);
    }
  }
}

/// One more bit per element, bit i / 32 of byte i % 32, put at bit `position` of the codes.
void split_high_bits(const std::uint8_t* bytes, int position, std::uint8_t* codes) {
  for (int k = 0; k < 8; ++k) {
    for (int l = 0; l < 32; ++l) {
      codes[32 * k + l] = static_cast<std::uint8_t>(codes[32 * k + l] | (((bytes[l] >> k) & 1) << position));
    }
  }
}

void join_high_bits(const std::uint8_t* codes, int position, std::uint8_t* bytes) {
  for (int l = 0; l < 32; ++l) bytes[l] = 0;
  for (int k = 0; k < 8; ++k) {
    for (int l = 0; l < 32; ++l) {
      bytes[l] = static_cast<std::uint8_t>(bytes[l] | (((codes[32 * k + l] >> position) & 1) << k));
    }
  }
}

/// The eight 6-bit scales and mins of Q4_K and Q5_K in their 12 bytes.
void split_scales_and_mins(const std::uint8_t* bytes, std::uint8_t* scales, std::uint8_t* mins) {
  for (int j = 0; j < 4; ++j) {
    scales[j] = bytes[j] & 63;
    mins[j] = bytes[j + 4] & 63;
    scales[j + 4] = static_cast<std::uint8_t>((bytes[j + 8] & 15) | (bytes[j] >> 6) << 4);
    mins[j + 4] = static_cast<std::uint8_t>((bytes[j + 8] >> 4) | (bytes[j + 4] >> 6) << 4);
  }
}

void join_scales_and_mins(const std::uint8_t* scales, const std::uint8_t* mins, std::uint8_t* bytes) {
  for (int j = 0; j < 4; ++j) {
    bytes[j] = static_cast<std::uint8_t>((scales[j] & 63) | ((scales[j + 4] >> 4) & 3) << 6);
    bytes[j + 4] = static_cast<std::uint8_t>((mins[j] & 63) | ((mins[j + 4] >> 4) & 3) << 6);
    bytes[j + 8] = static_cast<std::uint8_t>((scales[j + 4] & 15) | (mins[j + 4] & 15) << 4);
  }
}

/// The sixteen 6-bit scales of Q3_K in their 12 bytes.
void split_q3_scales(const std::uint8_t* bytes, std::uint8_t* scales) {
  for (int j = 0; j < 16; ++j) {
    const int low = j < 8 ? bytes[j] & 15 : bytes[j - 8] >> 4;
    const int high = (bytes[8 + j % 4] >> (2 * (j / 4))) & 3;
    scales[j] = static_cast<std::uint8_t>(low | high << 4);
  }
}

void join_q3_scales(const std::uint8_t* scales, std::uint8_t* bytes) {
  for (int j = 0; j < 8; ++j) bytes[j] = static_cast<std::uint8_t>((scales[j] & 15) | (scales[j + 8] & 15) << 4);
  for (int j = 0; j < 4; ++j) {
    unsigned high = 0;
    for (int k = 0; k < 4; ++k) high |= ((scales[j + 4 * k] >> 4) & 3u) << (2 * k);
    bytes[8 + j] = static_cast<std::uint8_t>(high);
  }
}

template <typename Format>
void dequantize_with_min(const typename Format::Block& in, float* values) {
  constexpr int kSubBlock = 256 / Format::kParts.scale_codes;
  const GgmlUnpacked<Format> parts(in);
  const float scale = f16_to_f32(in.scale);
  const float min = f16_to_f32(in.min);
  for (int j = 0; j < 256 / kSubBlock; ++j) {
    const float sub_scale = scale * static_cast<float>(parts.scale_codes[j]);
    const float sub_min = min * static_cast<float>(parts.offset_codes[j]);
    for (int i = kSubBlock * j; i < kSubBlock * (j + 1); ++i) {
      values[i] = sub_scale * static_cast<float>(parts.codes[i]) - sub_min;
    }
  }
}

template <typename Format>
void dequantize_symmetric(const typename Format::Block& in, int scale_bias, int bias, float* values) {
  const GgmlUnpacked<Format> parts(in);
  const float scale = f16_to_f32(in.scale);
  for (int j = 0; j < 16; ++j) {
    const float sub_scale = scale * static_cast<float>(parts.scale_codes[j] - scale_bias);
    for (int i = 16 * j; i < 16 * (j + 1); ++i) values[i] = sub_scale * static_cast<float>(parts.codes[i] - bias);
  }
}

}  // namespace

void GgmlQ2_K::dequantize(const Block& in, float* values) noexcept { dequantize_with_min<GgmlQ2_K>(in, values); }
void GgmlQ2_K::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  store_half(out.offsets, negated_half(in.min));
  for (int j = 0; j < 16; ++j) out.scale_codes[j] = in.scales[j] & 15;
  for (int j = 0; j < 16; ++j) out.offset_codes[j] = in.scales[j] >> 4;
  split_two_bits(in.codes, out.codes);
}
void GgmlQ2_K::pack(const GgmlConstParts& in, Block& out) noexcept {
  out.scale = load_half(in.scales);
  out.min = negated_half(load_half(in.offsets));
  for (int j = 0; j < 16; ++j) {
    out.scales[j] = static_cast<std::uint8_t>((in.scale_codes[j] & 15) | (in.offset_codes[j] & 15) << 4);
  }
  join_two_bits(in.codes, out.codes);
}

void GgmlQ3_K::dequantize(const Block& in, float* values) noexcept {
  dequantize_symmetric<GgmlQ3_K>(in, 32, 4, values);
}
void GgmlQ3_K::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  split_q3_scales(in.scales, out.scale_codes);
  split_two_bits(in.codes, out.codes);
  split_high_bits(in.high_bits, 2, out.codes);
}
void GgmlQ3_K::pack(const GgmlConstParts& in, Block& out) noexcept {
  out.scale = load_half(in.scales);
  join_q3_scales(in.scale_codes, out.scales);
  join_two_bits(in.codes, out.codes);
  join_high_bits(in.codes, 2, out.high_bits);
}

void GgmlQ4_K::dequantize(const Block& in, float* values) noexcept { dequantize_with_min<GgmlQ4_K>(in, values); }
void GgmlQ4_K::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  store_half(out.offsets, negated_half(in.min));
  split_scales_and_mins(in.scales, out.scale_codes, out.offset_codes);
  for (int k = 0; k < 4; ++k) split_nibbles(in.codes + 32 * k, 32, out.codes + 64 * k);
}
void GgmlQ4_K::pack(const GgmlConstParts& in, Block& out) noexcept {
  out.scale = load_half(in.scales);
  out.min = negated_half(load_half(in.offsets));
  join_scales_and_mins(in.scale_codes, in.offset_codes, out.scales);
  for (int k = 0; k < 4; ++k) join_nibbles(in.codes + 64 * k, 32, out.codes + 32 * k);
}

void GgmlQ5_K::dequantize(const Block& in, float* values) noexcept { dequantize_with_min<GgmlQ5_K>(in, values); }
void GgmlQ5_K::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  store_half(out.offsets, negated_half(in.min));
  split_scales_and_mins(in.scales, out.scale_codes, out.offset_codes);
  for (int k = 0; k < 4; ++k) split_nibbles(in.codes + 32 * k, 32, out.codes + 64 * k);
  split_high_bits(in.high_bits, 4, out.codes);
}
void GgmlQ5_K::pack(const GgmlConstParts& in, Block& out) noexcept {
  out.scale = load_half(in.scales);
  out.min = negated_half(load_half(in.offsets));
  join_scales_and_mins(in.scale_codes, in.offset_codes, out.scales);
  for (int k = 0; k < 4; ++k) join_nibbles(in.codes + 64 * k, 32, out.codes + 32 * k);
  join_high_bits(in.codes, 4, out.high_bits);
}

void GgmlQ6_K::dequantize(const Block& in, float* values) noexcept {
  dequantize_symmetric<GgmlQ6_K>(in, 128, 32, values);
}
void GgmlQ6_K::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  for (int j = 0; j < 16; ++j) out.scale_codes[j] = static_cast<std::uint8_t>(in.scales[j] + 128);
  for (int half = 0; half < 2; ++half) {
    for (int k = 0; k < 4; ++k) {
      const std::uint8_t* low = in.low + 64 * half + 32 * (k & 1);
      const std::uint8_t* high = in.high + 32 * half;
      std::uint8_t* codes = out.codes + 128 * half + 32 * k;
      for (int l = 0; l < 32; ++l) {
        codes[l] = static_cast<std::uint8_t>(((low[l] >> (4 * (k >> 1))) & 15) | ((high[l] >> (2 * k)) & 3) << 4);
      }
    }
  }
}
void GgmlQ6_K::pack(const GgmlConstParts& in, Block& out) noexcept {
  out.scale = load_half(in.scales);
  for (int j = 0; j < 16; ++j) out.scales[j] = static_cast<std::int8_t>(in.scale_codes[j] - 128);
  for (int half = 0; half < 2; ++half) {
    const std::uint8_t* codes = in.codes + 128 * half;
    for (int l = 0; l < 64; ++l) {
      out.low[64 * half + l] = static_cast<std::uint8_t>((codes[l] & 15) | (codes[64 + l] & 15) << 4);
    }
    for (int l = 0; l < 32; ++l) {
      unsigned high = 0;
      for (int k = 0; k < 4; ++k) high |= ((codes[32 * k + l] >> 4) & 3u) << (2 * k);
      out.high[32 * half + l] = static_cast<std::uint8_t>(high);
    }
  }
}

void GgmlQ8_K::quantize(const float* values, Block& out) noexcept {
  float magnitude = 0.0f;
  float signed_max = 0.0f;
  for (int i = 0; i < 256; ++i) {
    if (magnitude < std::fabs(values[i])) {
      magnitude = std::fabs(values[i]);
      signed_max = values[i];
    }
  }
  out = Block{};
  if (magnitude == 0.0f) return;
  const float factor = -127.0f / signed_max;
  for (int i = 0; i < 256; ++i) {
    const float rounded = std::nearbyint(factor * values[i]);
    const float low = rounded > -128.0f ? rounded : -128.0f;
    out.codes[i] = static_cast<std::int8_t>(static_cast<int>(low < 127.0f ? low : 127.0f));
    out.sums[i / 16] = static_cast<std::int16_t>(out.sums[i / 16] + out.codes[i]);
  }
  out.scale = 1.0f / factor;
}
void GgmlQ8_K::dequantize(const Block& in, float* values) noexcept {
  for (int i = 0; i < 256; ++i) values[i] = in.scale * static_cast<float>(in.codes[i]);
}

}  // namespace nibble
