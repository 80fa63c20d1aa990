// Single values out of packed panels, in portable scalar code: the meaning of the layouts of packed_view.h.
#pragma once

#include <bit>
#include <cstring>

#include "base/half.h"
#include "format/element_type.h"
#include "kernel/matmul/packed_view.h"

namespace nibble::kernel {

template <typename T>
inline T load_as(const std::uint8_t* bytes) noexcept {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

inline float plain_entry(PlaneKind kind, const std::uint8_t* entries, std::int64_t index) noexcept {
  switch (kind) {
    case PlaneKind::kF32:
      return load_as<float>(entries + 4 * index);
    case PlaneKind::kF16:
      return f16_to_f32(load_as<std::uint16_t>(entries + 2 * index));
    case PlaneKind::kBf16:
      return bf16_to_f32(load_as<std::uint16_t>(entries + 2 * index));
    case PlaneKind::kE8m0:
      return e8m0_to_f32(entries[index]);
    case PlaneKind::kU8:
      return static_cast<float>(entries[index]);
    default:
      return 0.0f;
  }
}

/// Bytes from a panel's start to the chunk of column `col`, and the chunk's first column.
struct ChunkPlace {
  std::int64_t position;
  std::int64_t first_col;
};
inline ChunkPlace chunk_of(const PackedView& w, std::int64_t col) noexcept {
  const std::int64_t chunk = col / (w.chunk_blocks * kBlockCols);
  return {chunk * w.chunk_bytes, chunk * w.chunk_blocks * kBlockCols};
}

/// Number of a row's entry for column `col` among those of the column's chunk.
inline std::int64_t entry_in_chunk(const ChunkPlace& chunk, std::int64_t group, int row, std::int64_t col) noexcept {
  return kPanelRows * (col / group - chunk.first_col / group) + row;
}

/// The entry of column `col` of a panel's row.
inline float plane_entry(const PackedView& w, const PlaneView& plane, const std::uint8_t* panel, int row,
                         std::int64_t col) noexcept {
  const ChunkPlace chunk = chunk_of(w, col);
  const std::int64_t index = entry_in_chunk(chunk, plane.group, row, col);
  const std::uint8_t* entries = panel + chunk.position + plane.position;
  if (plane.kind != PlaneKind::kI8 && plane.kind != PlaneKind::kLut) return plain_entry(plane.kind, entries, index);
  const float outer = plain_entry(plane.outer_kind, panel + chunk.position + plane.outer_position,
                                  entry_in_chunk(chunk, plane.outer_group, row, col));
  const float code = plane.kind == PlaneKind::kI8 ? static_cast<float>(static_cast<std::int8_t>(entries[index]))
                                                  : plane.lut[entries[index]];
  const float value = plane.outer_divides ? code / outer : outer * code;
  return plane.has_constant ? value + plane.constant : value;
}

/// Bit planes of a kQN layout, widest first; 0 ends the list.
struct BitPlanes {
  int bits[2];
};
inline BitPlanes bit_planes(Layout layout) noexcept {
  switch (layout) {
    case Layout::kQ1:
      return {{1, 0}};
    case Layout::kQ2:
      return {{2, 0}};
    case Layout::kQ3:
      return {{2, 1}};
    case Layout::kQ4:
      return {{4, 0}};
    case Layout::kQ5:
      return {{4, 1}};
    case Layout::kQ6:
      return {{4, 2}};
    default:
      return {{8, 0}};
  }
}
inline bool is_integer_layout(Layout layout) noexcept { return layout <= Layout::kQ8; }

/// Bytes that 32 columns of a panel's codes take.
inline std::int64_t block_bytes(Layout layout) noexcept {
  if (is_integer_layout(layout)) {
    const BitPlanes planes = bit_planes(layout);
    return 64 * (planes.bits[0] + planes.bits[1]);
  }
  switch (layout) {
    case Layout::kE4m3:
    case Layout::kE5m2:
      return 512;
    case Layout::kF16:
    case Layout::kBf16:
      return 1024;
    case Layout::kF32:
      return 2048;
    default:
      return 0;
  }
}

/// Bytes from a panel's start to the codes of a block of 32 columns.
inline std::int64_t block_position(const PackedView& w, std::int64_t block) noexcept {
  const std::int64_t chunk = block / w.chunk_blocks;
  return chunk * w.chunk_bytes + w.codes_position + (block - chunk * w.chunk_blocks) * block_bytes(w.layout);
}

/// The code of row and column k of a block with a kQN layout.
inline unsigned packed_code(Layout layout, const std::uint8_t* block, int row, int k) noexcept {
  const int i = 64 * (k / 4) + 4 * row + k % 4;
  unsigned code = 0;
  int shift = 0;
  for (const int bits : bit_planes(layout).bits) {
    if (bits == 0) break;
    const int bytes = 64 * bits;
    code |= ((static_cast<unsigned>(block[i % bytes]) >> (bits * (i / bytes))) & ((1u << bits) - 1u)) << shift;
    block += bytes;
    shift += bits;
  }
  return code;
}

/// x of (row, col) before zero, scale and offset. Not for kGeneric.
inline float packed_x(const PackedView& w, const std::uint8_t* panel, int row, std::int64_t col) noexcept {
  const std::uint8_t* block = panel + block_position(w, col / kBlockCols);
  const int k = static_cast<int>(col % kBlockCols);
  const int index = kPanelRows * k + row;
  switch (w.layout) {
    case Layout::kE4m3:
      return e4m3_to_f32(block[index]);
    case Layout::kE5m2:
      return e5m2_to_f32(block[index]);
    case Layout::kF16:
      return f16_to_f32(load_as<std::uint16_t>(block + 2 * index));
    case Layout::kBf16:
      return bf16_to_f32(load_as<std::uint16_t>(block + 2 * index));
    case Layout::kF32:
      return load_as<float>(block + 4 * index);
    default:
      break;
  }
  const unsigned code = packed_code(w.layout, block, row, k);
  if (w.table_index_group > 0) {
    const ChunkPlace chunk = chunk_of(w, col);
    const std::int64_t entry = entry_in_chunk(chunk, w.table_index_group, row, col);
    const auto number = load_as<std::int32_t>(panel + chunk.position + w.table_index_position + 4 * entry);
    const BitPlanes planes = bit_planes(w.layout);
    return w.tables[(static_cast<std::int64_t>(number) << (planes.bits[0] + planes.bits[1])) + code];
  }
  return w.table != nullptr ? w.table[code] : static_cast<float>(static_cast<std::int32_t>(code) - w.bias);
}

/// The dequantized weight. Not for kGeneric.
inline float packed_weight(const PackedView& w, const std::uint8_t* panel, int row, std::int64_t col) noexcept {
  float x = packed_x(w, panel, row, col);
  if (w.zero.kind != PlaneKind::kNone) x -= plane_entry(w, w.zero, panel, row, col);
  if (w.scale.kind != PlaneKind::kNone) x = plane_entry(w, w.scale, panel, row, col) * x;
  if (w.post_scale != 1.0f) x *= w.post_scale;
  if (w.offset.kind != PlaneKind::kNone) x += plane_entry(w, w.offset, panel, row, col);
  return x;
}

}  // namespace nibble::kernel
