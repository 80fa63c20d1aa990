// ggml's IQ types: codes that index constant value sets, IQ1 to IQ3 through grids of allowed neighbours. Super-blocks
// of 256 elements except IQ4_NL. Layouts are drawn in docs/formats/gguf.md; the sets and grids are in
// ggml_blocks_codebooks.h.
//
// Unpacked codes of IQ2 and IQ3: index in the set, plus the size of the set when the sign is minus. Of IQ1: grid + 1,
// plus 3 when the shift is negative.
#pragma once

#include <cstdint>
#include <string_view>

#include "format/ggml_blocks_parts.h"

namespace nibble {

/// value[i] = scale * kIq4Values[code[i]]        Byte j: element j low, element j + 16 high
struct GgmlIq4Nl {
  static constexpr int kId = 20;
  static constexpr std::string_view kName = "iq4_nl";
  static constexpr int kBlockValues = 32;
  struct Block {
    std::uint16_t scale;
    std::uint8_t codes[16];
  };
  static constexpr GgmlPartBytes kParts = {.codes = 32, .scales = 2};
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
  static void pack(const GgmlConstParts& in, Block& out) noexcept;
};
static_assert(sizeof(GgmlIq4Nl::Block) == 18);

/// value[i] = (scale * (scale_code[i/32] - 32)) * kIq4Values[code[i]]        6-bit scales
struct GgmlIq4Xs {
  static constexpr int kId = 23;
  static constexpr std::string_view kName = "iq4_xs";
  static constexpr int kBlockValues = 256;
  struct Block {
    std::uint16_t scale;
    std::uint16_t scales_high;  ///< bits 2j and 2j + 1: high bits of scale j
    std::uint8_t scales_low[4];
    std::uint8_t codes[128];
  };
  static constexpr GgmlPartBytes kParts = {.codes = 256, .scales = 2, .scale_codes = 8};
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
  static void pack(const GgmlConstParts& in, Block& out) noexcept;
};
static_assert(sizeof(GgmlIq4Xs::Block) == 136);

/// value[i] = (scale * (0.5 + scale_code[i/32])) * 0.25 * (+-) set of kIq2Values
struct GgmlIq2Xxs {
  static constexpr int kId = 16;
  static constexpr std::string_view kName = "iq2_xxs";
  static constexpr int kBlockValues = 256;
  struct Block {
    std::uint16_t scale;
    std::uint16_t codes[32];  ///< per 32 elements: four index bytes, then 4 x 7 sign bits and 4 bits of scale
  };
  static constexpr GgmlPartBytes kParts = {.codes = 256, .scales = 2, .scale_codes = 8};
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
};
static_assert(sizeof(GgmlIq2Xxs::Block) == 66);

/// value[i] = (scale * (0.5 + scale_code[i/16])) * 0.25 * (+-) set of kIq2Values
struct GgmlIq2Xs {
  static constexpr int kId = 17;
  static constexpr std::string_view kName = "iq2_xs";
  static constexpr int kBlockValues = 256;
  struct Block {
    std::uint16_t scale;
    std::uint16_t codes[32];  ///< per 8 elements: 9 bits of index, 7 of signs
    std::uint8_t scales[8];
  };
  static constexpr GgmlPartBytes kParts = {.codes = 256, .scales = 2, .scale_codes = 16};
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
};
static_assert(sizeof(GgmlIq2Xs::Block) == 74);

/// As IQ2_XS with 10 bits of index and a full byte of signs per 8 elements.
struct GgmlIq2S {
  static constexpr int kId = 22;
  static constexpr std::string_view kName = "iq2_s";
  static constexpr int kBlockValues = 256;
  struct Block {
    std::uint16_t scale;
    std::uint8_t codes[32];
    std::uint8_t signs[32];
    std::uint8_t high_bits[8];
    std::uint8_t scales[8];
  };
  static constexpr GgmlPartBytes kParts = {.codes = 256, .scales = 2, .scale_codes = 16};
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
};
static_assert(sizeof(GgmlIq2S::Block) == 82);

/// value[i] = (scale * (0.5 + scale_code[i/32])) * 0.5 * (+-) set of kIq3XxsValues        Grids of 4
struct GgmlIq3Xxs {
  static constexpr int kId = 18;
  static constexpr std::string_view kName = "iq3_xxs";
  static constexpr int kBlockValues = 256;
  struct Block {
    std::uint16_t scale;
    std::uint8_t codes[64];
    std::uint8_t signs_and_scales[32];  ///< per 32 elements a 32-bit word: 4 x 7 sign bits, 4 bits of scale
  };
  static constexpr GgmlPartBytes kParts = {.codes = 256, .scales = 2, .scale_codes = 8};
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
};
static_assert(sizeof(GgmlIq3Xxs::Block) == 98);

/// value[i] = (scale * (1 + 2 * scale_code[i/32])) * (+-) set of kIq3SValues        Grids of 4
struct GgmlIq3S {
  static constexpr int kId = 21;
  static constexpr std::string_view kName = "iq3_s";
  static constexpr int kBlockValues = 256;
  struct Block {
    std::uint16_t scale;
    std::uint8_t codes[64];
    std::uint8_t high_bits[8];
    std::uint8_t signs[32];
    std::uint8_t scales[4];
  };
  static constexpr GgmlPartBytes kParts = {.codes = 256, .scales = 2, .scale_codes = 8};
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
};
static_assert(sizeof(GgmlIq3S::Block) == 110);

/// value[i] = (scale * (1 + 2 * scale_code[i/32])) * (grid + shift)        shift +-0.125 per 32 elements
struct GgmlIq1S {
  static constexpr int kId = 19;
  static constexpr std::string_view kName = "iq1_s";
  static constexpr int kBlockValues = 256;
  struct Block {
    std::uint16_t scale;
    std::uint8_t codes[32];
    std::uint16_t high_bits[8];  ///< 4 x 3 bits of index, 3 bits of scale, the sign of the shift
  };
  static constexpr GgmlPartBytes kParts = {.codes = 256, .scales = 2, .scale_codes = 8};
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
};
static_assert(sizeof(GgmlIq1S::Block) == 50);

/// As IQ1_S with a scale per 16 elements and a shift per 8. The f16 scale is spread over the top nibbles of `scales`.
struct GgmlIq1M {
  static constexpr int kId = 29;
  static constexpr std::string_view kName = "iq1_m";
  static constexpr int kBlockValues = 256;
  struct Block {
    std::uint8_t codes[32];
    std::uint8_t high_bits[16];  ///< a nibble per 8 elements: 3 bits of index, the sign of the shift
    std::uint16_t scales[4];     ///< 4 x 3 bits of scale, a nibble of the f16
  };
  static constexpr GgmlPartBytes kParts = {.codes = 256, .scales = 2, .scale_codes = 16};
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
};
static_assert(sizeof(GgmlIq1M::Block) == 56);

}  // namespace nibble
