#include "format/ggml_blocks_iq.h"

#include <bit>

#include "base/half.h"
#include "format/ggml_blocks_codebooks.h"

namespace nibble {
namespace {

/// Seven stored signs to eight: the last makes the number of minus signs even.
unsigned with_parity(unsigned signs) { return signs | (static_cast<unsigned>(std::popcount(signs)) & 1u) << 7; }

/// `count` grid elements with their signs (bit j for element j); `set_size` is added for minus.
void put_signed(const std::uint8_t* grid, int count, unsigned signs, int set_size, std::uint8_t* codes) {
  const std::uint8_t* minus = kBitBytes.bytes[signs & 255u];
  for (int j = 0; j < count; ++j) codes[j] = static_cast<std::uint8_t>(grid[j] + minus[j] * set_size);
}

std::uint32_t load_word(const std::uint8_t* bytes) {
  std::uint32_t word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

/// Scale codes of sixteen sub-blocks in eight bytes, low nibble first.
void split_scale_nibbles(const std::uint8_t* bytes, int count, std::uint8_t* codes) {
  for (int j = 0; j < count; ++j) {
    codes[2 * j] = bytes[j] & 15;
    codes[2 * j + 1] = bytes[j] >> 4;
  }
}

/// value[i] = ((scale * (0.5 + scale_code)) * factor) * set[code]
template <typename Format>
void dequantize_half_steps(const typename Format::Block& in, float factor, const float* set, float* values) {
  const GgmlUnpacked<Format> parts(in);
  const float scale = f16_to_f32(in.scale);
  constexpr int kSubBlock = 256 / Format::kParts.scale_codes;
  for (int j = 0; j < 256 / kSubBlock; ++j) {
    const float sub_scale = (scale * (0.5f + static_cast<float>(parts.scale_codes[j]))) * factor;
    for (int i = kSubBlock * j; i < kSubBlock * (j + 1); ++i) values[i] = sub_scale * set[parts.codes[i]];
  }
}

/// value[i] = (scale * (1 + 2 * scale_code)) * set[code]
template <typename Format>
void dequantize_odd_scales(const typename Format::Block& in, const float* set, float* values) {
  const GgmlUnpacked<Format> parts(in);
  const float scale = f16_to_f32(load_half(parts.scales));
  constexpr int kSubBlock = 256 / Format::kParts.scale_codes;
  for (int j = 0; j < 256 / kSubBlock; ++j) {
    const float sub_scale = scale * static_cast<float>(1 + 2 * parts.scale_codes[j]);
    for (int i = kSubBlock * j; i < kSubBlock * (j + 1); ++i) values[i] = sub_scale * set[parts.codes[i]];
  }
}

}  // namespace

void GgmlIq4Nl::dequantize(const Block& in, float* values) noexcept {
  const GgmlUnpacked<GgmlIq4Nl> parts(in);
  const float scale = f16_to_f32(in.scale);
  for (int i = 0; i < 32; ++i) values[i] = scale * kIq4Values[parts.codes[i]];
}
void GgmlIq4Nl::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  split_nibbles(in.codes, 16, out.codes);
}
void GgmlIq4Nl::pack(const GgmlConstParts& in, Block& out) noexcept {
  out.scale = load_half(in.scales);
  join_nibbles(in.codes, 16, out.codes);
}

void GgmlIq4Xs::dequantize(const Block& in, float* values) noexcept {
  const GgmlUnpacked<GgmlIq4Xs> parts(in);
  const float scale = f16_to_f32(in.scale);
  for (int j = 0; j < 8; ++j) {
    const float sub_scale = scale * static_cast<float>(parts.scale_codes[j] - 32);
    for (int i = 32 * j; i < 32 * (j + 1); ++i) values[i] = sub_scale * kIq4Values[parts.codes[i]];
  }
}
void GgmlIq4Xs::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  split_scale_nibbles(in.scales_low, 4, out.scale_codes);
  for (int j = 0; j < 8; ++j) {
    out.scale_codes[j] = static_cast<std::uint8_t>(out.scale_codes[j] | ((in.scales_high >> (2 * j)) & 3) << 4);
    split_nibbles(in.codes + 16 * j, 16, out.codes + 32 * j);
  }
}
void GgmlIq4Xs::pack(const GgmlConstParts& in, Block& out) noexcept {
  out.scale = load_half(in.scales);
  unsigned high = 0;
  for (int j = 0; j < 8; ++j) {
    high |= ((in.scale_codes[j] >> 4) & 3u) << (2 * j);
    join_nibbles(in.codes + 32 * j, 16, out.codes + 16 * j);
  }
  out.scales_high = static_cast<std::uint16_t>(high);
  for (int j = 0; j < 4; ++j) {
    out.scales_low[j] = static_cast<std::uint8_t>((in.scale_codes[2 * j] & 15) | (in.scale_codes[2 * j + 1] & 15) << 4);
  }
}

void GgmlIq2Xxs::dequantize(const Block& in, float* values) noexcept {
  dequantize_half_steps<GgmlIq2Xxs>(in, 0.25f, kIq2Values, values);
}
void GgmlIq2Xxs::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  for (int b = 0; b < 8; ++b) {
    const std::uint16_t* words = in.codes + 4 * b;
    const std::uint32_t signs = words[2] | static_cast<std::uint32_t>(words[3]) << 16;
    out.scale_codes[b] = static_cast<std::uint8_t>(signs >> 28);
    for (int l = 0; l < 4; ++l) {
      const unsigned index = (words[l / 2] >> (8 * (l % 2))) & 255u;
      put_signed(kIq2XxsGrid[index].data(), 8, with_parity((signs >> (7 * l)) & 127u), 3, out.codes + 32 * b + 8 * l);
    }
  }
}

void GgmlIq2Xs::dequantize(const Block& in, float* values) noexcept {
  dequantize_half_steps<GgmlIq2Xs>(in, 0.25f, kIq2Values, values);
}
void GgmlIq2Xs::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  split_scale_nibbles(in.scales, 8, out.scale_codes);
  for (int g = 0; g < 32; ++g) {
    const unsigned word = in.codes[g];
    put_signed(kIq2XsGrid[word & 511u].data(), 8, with_parity(word >> 9), 3, out.codes + 8 * g);
  }
}

void GgmlIq2S::dequantize(const Block& in, float* values) noexcept {
  dequantize_half_steps<GgmlIq2S>(in, 0.25f, kIq2Values, values);
}
void GgmlIq2S::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  split_scale_nibbles(in.scales, 8, out.scale_codes);
  for (int g = 0; g < 32; ++g) {
    const unsigned index = in.codes[g] | ((in.high_bits[g / 4] >> (2 * (g % 4))) & 3u) << 8;
    put_signed(kIq2SGrid[index].data(), 8, in.signs[g], 3, out.codes + 8 * g);
  }
}

void GgmlIq3Xxs::dequantize(const Block& in, float* values) noexcept {
  dequantize_half_steps<GgmlIq3Xxs>(in, 0.5f, kIq3XxsValues, values);
}
void GgmlIq3Xxs::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  for (int b = 0; b < 8; ++b) {
    const std::uint32_t word = load_word(in.signs_and_scales + 4 * b);
    out.scale_codes[b] = static_cast<std::uint8_t>(word >> 28);
    for (int l = 0; l < 4; ++l) {
      const unsigned signs = with_parity((word >> (7 * l)) & 127u);
      const std::uint8_t* indices = in.codes + 8 * b + 2 * l;
      std::uint8_t* codes = out.codes + 32 * b + 8 * l;
      put_signed(kIq3XxsGrid[indices[0]].data(), 4, signs, 8, codes);
      put_signed(kIq3XxsGrid[indices[1]].data(), 4, signs >> 4, 8, codes + 4);
    }
  }
}

void GgmlIq3S::dequantize(const Block& in, float* values) noexcept {
  dequantize_odd_scales<GgmlIq3S>(in, kIq3SValues, values);
}
void GgmlIq3S::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  split_scale_nibbles(in.scales, 4, out.scale_codes);
  for (int k = 0; k < 64; ++k) {  // grids of 4
    const unsigned index = in.codes[k] | ((in.high_bits[k / 8] >> (k % 8)) & 1u) << 8;
    const unsigned signs = in.signs[k / 2] >> (4 * (k % 2));
    put_signed(kIq3SGrid[index].data(), 4, signs, 8, out.codes + 4 * k);
  }
}

void GgmlIq1S::dequantize(const Block& in, float* values) noexcept {
  dequantize_odd_scales<GgmlIq1S>(in, kIq1Values, values);
}
void GgmlIq1S::unpack(const Block& in, const GgmlParts& out) noexcept {
  store_half(out.scales, in.scale);
  for (int b = 0; b < 8; ++b) {
    const unsigned word = in.high_bits[b];
    out.scale_codes[b] = static_cast<std::uint8_t>((word >> 12) & 7u);
    const int shift = (word >> 15) != 0 ? 3 : 0;
    for (int l = 0; l < 4; ++l) {
      const std::uint8_t* grid = kIq1Grid[in.codes[4 * b + l] | ((word >> (3 * l)) & 7u) << 8].data();
      for (int j = 0; j < 8; ++j) out.codes[32 * b + 8 * l + j] = static_cast<std::uint8_t>(grid[j] + shift);
    }
  }
}

void GgmlIq1M::dequantize(const Block& in, float* values) noexcept {
  dequantize_odd_scales<GgmlIq1M>(in, kIq1Values, values);
}
void GgmlIq1M::unpack(const Block& in, const GgmlParts& out) noexcept {
  unsigned scale = 0;
  for (int k = 0; k < 4; ++k) scale |= static_cast<unsigned>(in.scales[k] >> 12) << (4 * k);
  store_half(out.scales, static_cast<std::uint16_t>(scale));
  for (int k = 0; k < 16; ++k) {
    out.scale_codes[k] = static_cast<std::uint8_t>((in.scales[k / 4] >> (3 * (k % 4))) & 7);
  }
  for (int g = 0; g < 32; ++g) {
    const unsigned nibble = (in.high_bits[g / 2] >> (4 * (g % 2))) & 15u;
    const std::uint8_t* grid = kIq1Grid[in.codes[g] | (nibble & 7u) << 8].data();
    const int shift = nibble >= 8 ? 3 : 0;
    for (int j = 0; j < 8; ++j) out.codes[8 * g + j] = static_cast<std::uint8_t>(grid[j] + shift);
  }
}

}  // namespace nibble
