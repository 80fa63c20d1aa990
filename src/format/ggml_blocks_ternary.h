// ggml's block formats of one bit and of three or four levels per weight.
#pragma once

#include <cstdint>
#include <string_view>

#include "format/ggml_blocks_parts.h"

namespace nibble {

/// value[i] = scale * (code[i] - 1), code 0..2        Five codes per byte, as base-3 digits
///
/// A byte is ceil(v * 256 / 243), v = the digits of five elements, first digit most significant; `rest` holds four.
/// 13 byte values per byte are never written; they decode, but do not come back.
struct GgmlTq1_0 {
  static constexpr int kId = 34;
  static constexpr std::string_view kName = "tq1_0";
  static constexpr int kBlockValues = 256;
  struct Block {
    std::uint8_t codes[48];
    std::uint8_t rest[4];
    std::uint16_t scale;
  };
  static constexpr GgmlPartBytes kParts = {.codes = 256, .scales = 2};
  static void quantize(const float* values, Block& out) noexcept;
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
  static void pack(const GgmlConstParts& in, Block& out) noexcept;
};
static_assert(sizeof(GgmlTq1_0::Block) == 54);

/// value[i] = scale * (code[i] - 1)        2-bit codes; ggml writes 0..2
struct GgmlTq2_0 {
  static constexpr int kId = 35;
  static constexpr std::string_view kName = "tq2_0";
  static constexpr int kBlockValues = 256;
  struct Block {
    std::uint8_t codes[64];  ///< element i: bits 2 * ((i % 128) / 32) of byte 32 * (i / 128) + i % 32
    std::uint16_t scale;
  };
  static constexpr GgmlPartBytes kParts = {.codes = 256, .scales = 2};
  static void quantize(const float* values, Block& out) noexcept;
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
  static void pack(const GgmlConstParts& in, Block& out) noexcept;
};
static_assert(sizeof(GgmlTq2_0::Block) == 66);

/// value[i] = code[i] ? scale : -scale        One bit; element i is bit i % 8 of byte i / 8
struct GgmlQ1_0 {
  static constexpr int kId = 41;
  static constexpr std::string_view kName = "q1_0";
  static constexpr int kBlockValues = 128;
  struct Block {
    std::uint16_t scale;
    std::uint8_t codes[16];
  };
  static constexpr GgmlPartBytes kParts = {.codes = 128, .scales = 2};
  static void quantize(const float* values, Block& out) noexcept;
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
  static void pack(const GgmlConstParts& in, Block& out) noexcept;
};
static_assert(sizeof(GgmlQ1_0::Block) == 18);

/// value[i] = scale * (code[i] - 1)        2-bit codes; element i is bits 2 * (i % 4) of byte i / 4
struct GgmlQ2_0 {
  static constexpr int kId = 42;
  static constexpr std::string_view kName = "q2_0";
  static constexpr int kBlockValues = 64;
  struct Block {
    std::uint16_t scale;
    std::uint8_t codes[16];
  };
  static constexpr GgmlPartBytes kParts = {.codes = 64, .scales = 2};
  static void quantize(const float* values, Block& out) noexcept;
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
  static void pack(const GgmlConstParts& in, Block& out) noexcept;
};
static_assert(sizeof(GgmlQ2_0::Block) == 18);

}  // namespace nibble
