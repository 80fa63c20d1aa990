// ggml's k-quants: super-blocks of 256 elements whose sub-blocks have small integer scales (and mins) under one f16
// each. Sub-block j has scale `scale * scale_code[j]` and, where there is a min, `min * min_code[j]` is subtracted.
// Layouts are drawn in docs/formats/gguf.md.
#pragma once

#include <cstdint>
#include <string_view>

#include "format/ggml_blocks_parts.h"

namespace nibble {

/// value[i] = (scale * scale_code[i/16]) * code[i] - min * min_code[i/16]        2-bit codes, 4-bit scales and mins
struct GgmlQ2_K {
  static constexpr int kId = 10;
  static constexpr std::string_view kName = "q2_k";
  static constexpr int kBlockValues = 256;
  struct Block {
    std::uint8_t scales[16];  ///< low nibble the scale's code, high nibble the min's
    std::uint8_t codes[64];
    std::uint16_t scale;
    std::uint16_t min;
  };
  static constexpr GgmlPartBytes kParts = {
      .codes = 256, .scales = 2, .scale_codes = 16, .offsets = 2, .offset_codes = 16};
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
  static void pack(const GgmlConstParts& in, Block& out) noexcept;
};
static_assert(sizeof(GgmlQ2_K::Block) == 84);

/// value[i] = (scale * (scale_code[i/16] - 32)) * (code[i] - 4)        3-bit codes, 6-bit scales
struct GgmlQ3_K {
  static constexpr int kId = 11;
  static constexpr std::string_view kName = "q3_k";
  static constexpr int kBlockValues = 256;
  struct Block {
    std::uint8_t high_bits[32];  ///< third bits of the codes
    std::uint8_t codes[64];
    std::uint8_t scales[12];
    std::uint16_t scale;
  };
  static constexpr GgmlPartBytes kParts = {.codes = 256, .scales = 2, .scale_codes = 16};
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
  static void pack(const GgmlConstParts& in, Block& out) noexcept;
};
static_assert(sizeof(GgmlQ3_K::Block) == 110);

/// value[i] = (scale * scale_code[i/32]) * code[i] - min * min_code[i/32]        4-bit codes, 6-bit scales and mins
struct GgmlQ4_K {
  static constexpr int kId = 12;
  static constexpr std::string_view kName = "q4_k";
  static constexpr int kBlockValues = 256;
  struct Block {
    std::uint16_t scale;
    std::uint16_t min;
    std::uint8_t scales[12];
    std::uint8_t codes[128];
  };
  static constexpr GgmlPartBytes kParts = {
      .codes = 256, .scales = 2, .scale_codes = 8, .offsets = 2, .offset_codes = 8};
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
  static void pack(const GgmlConstParts& in, Block& out) noexcept;
};
static_assert(sizeof(GgmlQ4_K::Block) == 144);

/// As Q4_K with 5-bit codes.
struct GgmlQ5_K {
  static constexpr int kId = 13;
  static constexpr std::string_view kName = "q5_k";
  static constexpr int kBlockValues = 256;
  struct Block {
    std::uint16_t scale;
    std::uint16_t min;
    std::uint8_t scales[12];
    std::uint8_t high_bits[32];  ///< bit i/32 of byte i%32
    std::uint8_t codes[128];
  };
  static constexpr GgmlPartBytes kParts = {
      .codes = 256, .scales = 2, .scale_codes = 8, .offsets = 2, .offset_codes = 8};
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
  static void pack(const GgmlConstParts& in, Block& out) noexcept;
};
static_assert(sizeof(GgmlQ5_K::Block) == 176);

/// value[i] = (scale * scales[i/16]) * (code[i] - 32)        6-bit codes; the unpacked scale code is scales[j] + 128
struct GgmlQ6_K {
  static constexpr int kId = 14;
  static constexpr std::string_view kName = "q6_k";
  static constexpr int kBlockValues = 256;
  struct Block {
    std::uint8_t low[128];
    std::uint8_t high[64];
    std::int8_t scales[16];
    std::uint16_t scale;
  };
  static constexpr GgmlPartBytes kParts = {.codes = 256, .scales = 2, .scale_codes = 16};
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
  static void pack(const GgmlConstParts& in, Block& out) noexcept;
};
static_assert(sizeof(GgmlQ6_K::Block) == 210);

/// value[i] = scale * codes[i]        An activation format with sums of 16 codes. Never in files.
struct GgmlQ8_K {
  static constexpr int kId = 15;
  static constexpr std::string_view kName = "q8_k";
  static constexpr int kBlockValues = 256;
  struct Block {
    float scale;
    std::int8_t codes[256];
    std::int16_t sums[16];
  };
  static void quantize(const float* values, Block& out) noexcept;
  static void dequantize(const Block& in, float* values) noexcept;
};
static_assert(sizeof(GgmlQ8_K::Block) == 292);

}  // namespace nibble
