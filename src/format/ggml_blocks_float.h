// The float types of ggml as blocks of one value. Inline, so that loops over them vectorize.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/half.h"
#include "format/ggml_blocks_parts.h"

namespace nibble {

struct GgmlF32 {
  static constexpr int kId = 0;
  static constexpr std::string_view kName = "f32";
  static constexpr int kBlockValues = 1;
  struct Block {
    float value;
  };
  static constexpr GgmlPartBytes kParts = {.codes = 4};
  static void quantize(const float* values, Block& out) noexcept { out.value = *values; }
  static void dequantize(const Block& in, float* values) noexcept { *values = in.value; }
  static void unpack(const Block& in, const GgmlParts& out) noexcept { std::memcpy(out.codes, &in, 4); }
  static void pack(const GgmlConstParts& in, Block& out) noexcept { std::memcpy(&out, in.codes, 4); }
};
static_assert(sizeof(GgmlF32::Block) == 4);

struct GgmlF16 {
  static constexpr int kId = 1;
  static constexpr std::string_view kName = "f16";
  static constexpr int kBlockValues = 1;
  struct Block {
    std::uint16_t value;
  };
  static constexpr GgmlPartBytes kParts = {.codes = 2};
  static void quantize(const float* values, Block& out) noexcept { out.value = f32_to_f16(*values); }
  static void dequantize(const Block& in, float* values) noexcept { *values = f16_to_f32(in.value); }
  static void unpack(const Block& in, const GgmlParts& out) noexcept { store_half(out.codes, in.value); }
  static void pack(const GgmlConstParts& in, Block& out) noexcept { out.value = load_half(in.codes); }
};
static_assert(sizeof(GgmlF16::Block) == 2);

struct GgmlBf16 {
  static constexpr int kId = 30;
  static constexpr std::string_view kName = "bf16";
  static constexpr int kBlockValues = 1;
  struct Block {
    std::uint16_t value;
  };
  static constexpr GgmlPartBytes kParts = {.codes = 2};
  static void quantize(const float* values, Block& out) noexcept { out.value = f32_to_bf16(*values); }
  static void dequantize(const Block& in, float* values) noexcept { *values = bf16_to_f32(in.value); }
  static void unpack(const Block& in, const GgmlParts& out) noexcept { store_half(out.codes, in.value); }
  static void pack(const GgmlConstParts& in, Block& out) noexcept { out.value = load_half(in.codes); }
};
static_assert(sizeof(GgmlBf16::Block) == 2);

}  // namespace nibble
