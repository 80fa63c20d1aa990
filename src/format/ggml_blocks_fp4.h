// ggml's FP4 block formats. Codes are E2M1, but ggml reads code 8 (-0) as +0: unpack() gives 0 for it, so that the
// unpacked codes have ggml's values; ggml's own quantizers never write it.
#pragma once

#include <cstdint>
#include <string_view>

#include "format/ggml_blocks_parts.h"

namespace nibble {

/// value[i] = 2^(scale - 127) * e2m1(code[i])        Byte j: element j low, element j + 16 high
struct GgmlMxfp4 {
  static constexpr int kId = 39;
  static constexpr std::string_view kName = "mxfp4";
  static constexpr int kBlockValues = 32;
  struct Block {
    std::uint8_t scale;  ///< E8M0; ggml decodes 255 as 2^128 / 2 * e2m1, but refuses files that hold it
    std::uint8_t codes[16];
  };
  static constexpr GgmlPartBytes kParts = {.codes = 32, .scales = 1};
  static void quantize(const float* values, Block& out) noexcept;
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
  static void pack(const GgmlConstParts& in, Block& out) noexcept;
};
static_assert(sizeof(GgmlMxfp4::Block) == 17);

/// value[i] = e4m3(scales[i/16]) * e2m1(code[i])        Byte 8s + j: element 16s + j low, 16s + 8 + j high
///
/// ggml ignores the sign of a scale and reads 0x7F as 0; unpack() gives scale codes with the same values. 0xFF, which
/// ggml reads as 480, has no E4M3 code: is_valid() tells.
struct GgmlNvfp4 {
  static constexpr int kId = 40;
  static constexpr std::string_view kName = "nvfp4";
  static constexpr int kBlockValues = 64;
  struct Block {
    std::uint8_t scales[4];
    std::uint8_t codes[32];
  };
  static constexpr GgmlPartBytes kParts = {.codes = 64, .scale_codes = 4};
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
};
static_assert(sizeof(GgmlNvfp4::Block) == 36);

}  // namespace nibble
