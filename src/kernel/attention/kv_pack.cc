// Blocks of the cache as codes, and back.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/half.h"
#include "kernel/attention/kv_access.h"

namespace nibble::kernel {
namespace {

constexpr int kTokens = KvBlockLayout::kTokens;
constexpr int kGroup = KvBlockLayout::kGroup;
constexpr int kDims = KvPackedLayout::kDims;

void put_element(std::byte* base, std::int64_t index, KvType type, float value) {
  if (type == KvType::kF16) {
    const std::uint16_t half = f32_to_f16(value);
    std::memcpy(base + 2 * index, &half, sizeof(half));
  } else {
    std::memcpy(base + 4 * index, &value, sizeof(value));
  }
}

/// Thirty-two values that share a half.
struct Packed {
  std::uint16_t scale;
  int codes[kDims];
};

Packed pack(const float* values, int bits) {
  Packed out{};
  float largest = 0.0f;  // of largest magnitude, with its sign
  bool finite = true;
  for (int i = 0; i < kDims; ++i) {
    finite = finite && std::isfinite(values[i]);
    if (std::fabs(values[i]) > std::fabs(largest)) largest = values[i];
  }
  if (!finite) {
    out.scale = 0x7E00;  // NaN
    return out;
  }
  const int lowest = bits == 8 ? -127 : -8;
  const int highest = bits == 8 ? 127 : 7;
  out.scale = f32_to_f16(bits == 8 ? std::fabs(largest) / 127.0f : largest / -8.0f);
  const float scale = f16_to_f32(out.scale);
  if (scale == 0.0f) return out;
  const float inverse = 1.0f / scale;
  for (int i = 0; i < kDims; ++i) {
    const float code = std::nearbyint(values[i] * inverse);
    out.codes[i] = std::clamp(static_cast<int>(code), lowest, highest);
  }
  return out;
}

/// Writes a half and the codes of 32 dimensions, which lie `stride` bytes apart.
void put(const Packed& packed, int bits, std::byte* scale, std::byte* codes, int stride) {
  std::memcpy(scale, &packed.scale, sizeof(packed.scale));
  if (bits == 8) {
    for (int d = 0; d < kDims; ++d) codes[d * stride] = static_cast<std::byte>(packed.codes[d]);
    return;
  }
  for (int d = 0; d < kDims / 2; ++d)
    codes[d * stride] = static_cast<std::byte>((packed.codes[d] + 8) | (packed.codes[d + kDims / 2] + 8) << 4);
}

/// Where the 32 dimensions of number `g` of a position lie, in a head's part of either kind of block.
struct Place {
  std::int64_t scale;   ///< bytes into the halves
  std::int64_t codes;   ///< bytes into the codes
  int stride;           ///< bytes between codes
  std::int64_t floats;  ///< elements into the block of floats
  int float_stride;
};

Place key_place(const KvPackedLayout& packed, int position, int g) {
  const int group = position / kGroup;
  const int lane = position % kGroup;
  const std::int64_t at = group * packed.dim_groups() + g;
  return {2 * (at * kGroup + lane), at * (kDims * packed.bits / 8) * kGroup + lane, kGroup,
          (static_cast<std::int64_t>(group) * packed.head_dim + g * kDims) * kGroup + lane, kGroup};
}

Place value_place(const KvPackedLayout& packed, int position, int g) {
  const std::int64_t at = position * packed.dim_groups() + g;
  const int padded = (packed.head_dim + 15) / 16 * 16;
  return {2 * at, at * (kDims * packed.bits / 8), 1, static_cast<std::int64_t>(position) * padded + g * kDims, 1};
}

void pack_head(const KvBlockLayout& layout, const std::byte* from, const KvPackedLayout& packed, std::byte* to,
               int head) {
  for (const bool keys : {true, false}) {
    std::byte* scales = to + (keys ? packed.k_offset(head) : packed.v_offset(head));
    const std::byte* floats = from + (keys ? layout.k_offset(head) : layout.v_offset(head));
    for (int position = 0; position < kTokens; ++position)
      for (int g = 0; g < packed.dim_groups(); ++g) {
        const Place place = keys ? key_place(packed, position, g) : value_place(packed, position, g);
        float values[kDims] = {};
        for (int d = 0; d < std::min(kDims, packed.head_dim - g * kDims); ++d)
          values[d] = kv_element(floats, place.floats + static_cast<std::int64_t>(d) * place.float_stride,
                                 layout.type == KvType::kF16);
        put(pack(values, packed.bits), packed.bits, scales + place.scale, scales + packed.scale_bytes() + place.codes,
            place.stride);
      }
  }
}

}  // namespace

void kv_pack(const KvBlockLayout& layout, std::size_t block_offset, const KvPackedLayout& packed,
             std::size_t packed_offset, std::span<const KvSequence> sequences, ThreadPool& pool) {
  NIBBLE_CHECK(packed.bits == 8 || packed.bits == 4);
  const auto heads = static_cast<std::size_t>(layout.kv_heads);
  for (const KvSequence& s : sequences) {
    const std::int64_t first = s.first_position / kTokens;
    const std::int64_t full = (s.first_position + s.rows) / kTokens;
    if (full <= first) continue;
    pool.run(static_cast<std::size_t>(full - first) * heads, 1, [&](std::size_t begin, std::size_t end, int) {
      for (std::size_t i = begin; i < end; ++i) {
        const auto block = static_cast<std::size_t>(first) + i / heads;
        pack_head(layout, s.blocks[block] + block_offset, packed, s.packed[block] + packed_offset,
                  static_cast<int>(i % heads));
      }
    });
  }
}

void kv_unpack(const KvPackedLayout& packed, const std::byte* from, const KvBlockLayout& layout, std::byte* to) {
  std::memset(to, 0, layout.block_bytes());  // the padding of values
  for (int head = 0; head < layout.kv_heads; ++head)
    for (int position = 0; position < kTokens; ++position)
      for (int d = 0; d < layout.head_dim; ++d) {
        put_element(to + layout.k_offset(head), (position / kGroup * layout.head_dim + d) * kGroup + position % kGroup,
                    layout.type, packed_key(packed, from + packed.k_offset(head), position, d));
        put_element(to + layout.v_offset(head), position * layout.padded_dim() + d, layout.type,
                    packed_value(packed, from + packed.v_offset(head), position, d));
      }
}

}  // namespace nibble::kernel
