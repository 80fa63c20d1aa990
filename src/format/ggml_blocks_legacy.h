// ggml's 32-element block formats. In all of them byte j of `codes` holds element j in its low and element j + 16 in
// its high nibble; fifth bits are a 32-bit little-endian word, bit i for element i. Halves are IEEE f16.
#pragma once

#include <cstdint>
#include <string_view>

#include "format/ggml_blocks_parts.h"

namespace nibble {

/// value[i] = scale * (code[i] - 8)
struct GgmlQ4_0 {
  static constexpr int kId = 2;
  static constexpr std::string_view kName = "q4_0";
  static constexpr int kBlockValues = 32;
  struct Block {
    std::uint16_t scale;
    std::uint8_t codes[16];
  };
  static constexpr GgmlPartBytes kParts = {.codes = 32, .scales = 2};
  static void quantize(const float* values, Block& out) noexcept;
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
  static void pack(const GgmlConstParts& in, Block& out) noexcept;
};
static_assert(sizeof(GgmlQ4_0::Block) == 18);

/// value[i] = scale * code[i] + offset
struct GgmlQ4_1 {
  static constexpr int kId = 3;
  static constexpr std::string_view kName = "q4_1";
  static constexpr int kBlockValues = 32;
  struct Block {
    std::uint16_t scale;
    std::uint16_t offset;
    std::uint8_t codes[16];
  };
  static constexpr GgmlPartBytes kParts = {.codes = 32, .scales = 2, .offsets = 2};
  static void quantize(const float* values, Block& out) noexcept;
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
  static void pack(const GgmlConstParts& in, Block& out) noexcept;
};
static_assert(sizeof(GgmlQ4_1::Block) == 20);

/// value[i] = scale * (code[i] - 16)
struct GgmlQ5_0 {
  static constexpr int kId = 6;
  static constexpr std::string_view kName = "q5_0";
  static constexpr int kBlockValues = 32;
  struct Block {
    std::uint16_t scale;
    std::uint8_t high_bits[4];
    std::uint8_t codes[16];
  };
  static constexpr GgmlPartBytes kParts = {.codes = 32, .scales = 2};
  static void quantize(const float* values, Block& out) noexcept;
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
  static void pack(const GgmlConstParts& in, Block& out) noexcept;
};
static_assert(sizeof(GgmlQ5_0::Block) == 22);

/// value[i] = scale * code[i] + offset
struct GgmlQ5_1 {
  static constexpr int kId = 7;
  static constexpr std::string_view kName = "q5_1";
  static constexpr int kBlockValues = 32;
  struct Block {
    std::uint16_t scale;
    std::uint16_t offset;
    std::uint8_t high_bits[4];
    std::uint8_t codes[16];
  };
  static constexpr GgmlPartBytes kParts = {.codes = 32, .scales = 2, .offsets = 2};
  static void quantize(const float* values, Block& out) noexcept;
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
  static void pack(const GgmlConstParts& in, Block& out) noexcept;
};
static_assert(sizeof(GgmlQ5_1::Block) == 24);

/// value[i] = scale * codes[i]        The unpacked code is codes[i] + 128.
struct GgmlQ8_0 {
  static constexpr int kId = 8;
  static constexpr std::string_view kName = "q8_0";
  static constexpr int kBlockValues = 32;
  struct Block {
    std::uint16_t scale;
    std::int8_t codes[32];
  };
  static constexpr GgmlPartBytes kParts = {.codes = 32, .scales = 2};
  static void quantize(const float* values, Block& out) noexcept;
  static void dequantize(const Block& in, float* values) noexcept;
  static void unpack(const Block& in, const GgmlParts& out) noexcept;
  static void pack(const GgmlConstParts& in, Block& out) noexcept;
};
static_assert(sizeof(GgmlQ8_0::Block) == 34);

/// value[i] = scale * codes[i]        An activation format: `sum` is scale * (sum of codes). Never in files.
struct GgmlQ8_1 {
  static constexpr int kId = 9;
  static constexpr std::string_view kName = "q8_1";
  static constexpr int kBlockValues = 32;
  struct Block {
    std::uint16_t scale;
    std::uint16_t sum;
    std::int8_t codes[32];
  };
  static void quantize(const float* values, Block& out) noexcept;
  static void dequantize(const Block& in, float* values) noexcept;
};
static_assert(sizeof(GgmlQ8_1::Block) == 36);

}  // namespace nibble
