// The quantizers give the bytes of ggml's reference quantizers.
#include "format/ggml_blocks_ternary.h"

#include <algorithm>

#include "base/half.h"

namespace nibble {
namespace {

/// Digit k of each of `bytes` goes to codes[k * count + j]: element order of a run of TQ1_0 bytes.
void split_digits(const std::uint8_t* bytes, int count, int digits, std::uint8_t* codes) {
  unsigned power = 1;
  for (int k = 0; k < digits; ++k, power *= 3) {
    for (int j = 0; j < count; ++j) {
      codes[k * count + j] = static_cast<std::uint8_t>((((bytes[j] * power) & 255u) * 3u) >> 8);
    }
  }
}

void join_digits(const std::uint8_t* codes, int count, int digits, std::uint8_t* bytes) {
  for (int j = 0; j < count; ++j) {
    unsigned value = 0;
    for (int k = 0; k < 5; ++k) value = value * 3 + (k < digits ? std::min<unsigned>(codes[k * count + j], 2) : 0);
    bytes[j] = static_cast<std::uint8_t>((value * 256 + 242) / 243);
  }
}

template <typename Format>
void dequantize_ternary(const typename Format::Block& in, float* values) {
  const GgmlUnpacked<Format> parts(in);
  const float scale = f16_to_f32(in.scale);
  for (int i = 0; i < Format::kBlockValues; ++i) values[i] = static_cast<float>(parts.codes[i] - 1) * scale;
}

/// The largest magnitude is the scale; codes are value / scale rounded (halves away from zero) plus 1, so 0..2. NaN
/// gives 1. The rest is up to pack().
template <typename Format>
void quantize_ternary(const float* values, typename Format::Block& out) {
  const float scale = magnitude_of(values, Format::kBlockValues);
  const float factor = scale > 0.0f ? 1.0f / scale : 0.0f;
  std::uint8_t codes[Format::kBlockValues];
  for (int i = 0; i < Format::kBlockValues; ++i) {
    const float steps = values[i] * factor;
    codes[i] = static_cast<std::uint8_t>(1 + (steps >= 0.5f) - (steps <= -0.5f));
  }
  std::uint8_t scales[2];
  store_half(scales, f32_to_f16(scale));
  Format::pack(GgmlConstParts{codes, scales, nullptr, nullptr, nullptr}, out);
}

}  // namespace

void GgmlTq1_0::quantize(const float* values, Block& out) noexcept { quantize_ternary<GgmlTq1_0>(values, out); }
void GgmlTq1_0::dequantize(const Block& in, float* values) noexcept { dequantize_ternary<GgmlTq1_0>(in, values); }
void GgmlTq1_0::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  split_digits(in.codes, 32, 5, out.codes);
  split_digits(in.codes + 32, 16, 5, out.codes + 160);
  split_digits(in.rest, 4, 4, out.codes + 240);
}
void GgmlTq1_0::pack(const GgmlConstParts& in, Block& out) noexcept {
  out.scale = load_half(in.scales);
  join_digits(in.codes, 32, 5, out.codes);
  join_digits(in.codes + 160, 16, 5, out.codes + 32);
  join_digits(in.codes + 240, 4, 4, out.rest);
}

void GgmlTq2_0::quantize(const float* values, Block& out) noexcept { quantize_ternary<GgmlTq2_0>(values, out); }
void GgmlTq2_0::dequantize(const Block& in, float* values) noexcept { dequantize_ternary<GgmlTq2_0>(in, values); }
void GgmlTq2_0::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  for (int half = 0; half < 2; ++half) {
    for (int k = 0; k < 4; ++k) {
      for (int l = 0; l < 32; ++l) out.codes[128 * half + 32 * k + l] = (in.codes[32 * half + l] >> (2 * k)) & 3;
    }
  }
}
void GgmlTq2_0::pack(const GgmlConstParts& in, Block& out) noexcept {
  out.scale = load_half(in.scales);
  for (int half = 0; half < 2; ++half) {
    const std::uint8_t* codes = in.codes + 128 * half;
    for (int l = 0; l < 32; ++l) {
      out.codes[32 * half + l] = static_cast<std::uint8_t>((codes[l] & 3) | (codes[32 + l] & 3) << 2 |
                                                           (codes[64 + l] & 3) << 4 | (codes[96 + l] & 3) << 6);
    }
  }
}

void GgmlQ1_0::quantize(const float* values, Block& out) noexcept {
  float sum = 0.0f;
  for (int i = 0; i < 128; ++i) sum += std::fabs(values[i]);
  out = Block{f32_to_f16(sum / 128.0f), {}};
  for (int i = 0; i < 128; ++i) {
    const unsigned bit = values[i] >= 0.0f ? 1u << (i % 8) : 0u;
    out.codes[i / 8] = static_cast<std::uint8_t>(out.codes[i / 8] | bit);
  }
}
void GgmlQ1_0::dequantize(const Block& in, float* values) noexcept {
  const GgmlUnpacked<GgmlQ1_0> parts(in);
  const float scale = f16_to_f32(in.scale);
  for (int i = 0; i < 128; ++i) values[i] = parts.codes[i] != 0 ? scale : -scale;
}
void GgmlQ1_0::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  for (int j = 0; j < 16; ++j) std::memcpy(out.codes + 8 * j, kBitBytes.bytes[in.codes[j]], 8);
}
void GgmlQ1_0::pack(const GgmlConstParts& in, Block& out) noexcept {
  out.scale = load_half(in.scales);
  for (int j = 0; j < 16; ++j) {
    unsigned bits = 0;
    for (int b = 0; b < 8; ++b) bits |= (in.codes[8 * j + b] & 1u) << b;
    out.codes[j] = static_cast<std::uint8_t>(bits);
  }
}

void GgmlQ2_0::quantize(const float* values, Block& out) noexcept { quantize_ternary<GgmlQ2_0>(values, out); }
void GgmlQ2_0::dequantize(const Block& in, float* values) noexcept { dequantize_ternary<GgmlQ2_0>(in, values); }
void GgmlQ2_0::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  for (int j = 0; j < 16; ++j) {
    for (int k = 0; k < 4; ++k) out.codes[4 * j + k] = (in.codes[j] >> (2 * k)) & 3;
  }
}
void GgmlQ2_0::pack(const GgmlConstParts& in, Block& out) noexcept {
  out.scale = load_half(in.scales);
  for (int j = 0; j < 16; ++j) {
    unsigned bits = 0;
    for (int k = 0; k < 4; ++k) bits |= (in.codes[4 * j + k] & 3u) << (2 * k);
    out.codes[j] = static_cast<std::uint8_t>(bits);
  }
}

}  // namespace nibble
