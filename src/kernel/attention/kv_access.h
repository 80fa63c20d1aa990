// Single values out of the blocks of the cache, in portable scalar code: the meaning of the layouts of attention.h.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/half.h"
#include "kernel/attention/attention.h"

namespace nibble::kernel {

/// Element `index` of a block of halves or floats.
inline float kv_element(const std::byte* base, std::int64_t index, bool half) {
  if (half) {
    std::uint16_t code;
    std::memcpy(&code, base + index * 2, sizeof(code));
    return f16_to_f32(code);
  }
  float value;
  std::memcpy(&value, base + index * 4, sizeof(value));
  return value;
}

/// The code in byte `place`, or half of it, times its half-precision scale.
inline float coded_value(std::uint16_t half, const std::byte* codes, std::int64_t place, int bits, bool high) {
  const auto byte = std::to_integer<int>(codes[place]);
  const int code = bits == 8 ? static_cast<std::int8_t>(byte) : (high ? byte >> 4 : byte & 15) - 8;
  return static_cast<float>(code) * f16_to_f32(half);
}

/// Half number `index`.
inline std::uint16_t half_at(const std::byte* halves, std::int64_t index) {
  std::uint16_t half;
  std::memcpy(&half, halves + 2 * index, sizeof(half));
  return half;
}

/// Where dimension d's code lies among those of its position, and whether in the upper half of the byte.
struct CodePlace {
  int byte;
  bool high;
};

inline CodePlace code_place(const KvPackedLayout& layout, int d) {
  if (layout.bits == 8) return {d, false};
  const int in_group = d % KvPackedLayout::kDims;
  return {d / KvPackedLayout::kDims * 16 + in_group % 16, in_group >= 16};
}

/// Of a head's K part: dimension d at a position of the block.
inline float packed_key(const KvPackedLayout& layout, const std::byte* k, int place, int d) {
  const int group = place / KvBlockLayout::kGroup;
  const int lane = place % KvBlockLayout::kGroup;
  const CodePlace code = code_place(layout, d);
  const int rows = layout.dim_groups() * KvPackedLayout::kDims * layout.bits / 8;
  return coded_value(
      half_at(k, (group * layout.dim_groups() + d / KvPackedLayout::kDims) * KvBlockLayout::kGroup + lane),
      k + layout.scale_bytes(), (group * rows + code.byte) * KvBlockLayout::kGroup + lane, layout.bits, code.high);
}

/// The same of its V part.
inline float packed_value(const KvPackedLayout& layout, const std::byte* v, int place, int d) {
  const CodePlace code = code_place(layout, d);
  const int bytes = layout.dim_groups() * KvPackedLayout::kDims * layout.bits / 8;
  return coded_value(half_at(v, place * layout.dim_groups() + d / KvPackedLayout::kDims), v + layout.scale_bytes(),
                     place * bytes + code.byte, layout.bits, code.high);
}

}  // namespace nibble::kernel
