// Where codes and planes lie within a panel: packing places them with this, and reading a stored image checks against
// it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernel/matmul/packed_access.h"
#include "kernel/matmul/packed_view.h"

namespace nibble::kernel {

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t round_up(std::int64_t a, std::int64_t b) { return divide_up(a, b) * b; }

inline bool is_nested(PlaneKind kind) { return kind == PlaneKind::kI8 || kind == PlaneKind::kLut; }

inline std::int64_t entry_bytes(PlaneKind kind) {
  switch (kind) {
    case PlaneKind::kF32:
      return 4;
    case PlaneKind::kF16:
    case PlaneKind::kBf16:
      return 2;
    case PlaneKind::kNone:
      return 0;
    default:
      return 1;
  }
}

/// Most entries of a row that a chunk of columns needs: one more than a chunk holds where it cuts groups.
inline std::int64_t entries_per_chunk(const PackedView& v, std::int64_t group) {
  const std::int64_t blocks = divide_up(v.cols, kBlockCols);
  std::int64_t most = 0;
  for (std::int64_t block = 0; block < blocks; block += v.chunk_blocks) {
    const std::int64_t end = std::min(block + v.chunk_blocks, blocks) * kBlockCols;
    most = std::max(most, (end - 1) / group - block * kBlockCols / group + 1);
  }
  return most;
}

/// Gives a plane its place in a chunk, whose planes end at `end` before and after.
inline void place_plane(const PackedView& v, PlaneView& plane, std::int64_t& end) {
  if (plane.kind == PlaneKind::kNone) return;
  plane.position = end;
  end += kPanelRows * entries_per_chunk(v, plane.group) * entry_bytes(plane.kind);
  if (!is_nested(plane.kind)) return;
  plane.outer_position = end;
  end += kPanelRows * entries_per_chunk(v, plane.outer_group) * entry_bytes(plane.outer_kind);
}

/// Cuts panels into chunks of about the same size, and gives everything its place and the panel its size. Layout,
/// groups and kinds are set.
inline void place_panel(PackedView& view) {
  const std::int64_t blocks = divide_up(view.cols, kBlockCols);
  const std::int64_t about = std::max<std::int64_t>(divide_up(blocks, kMostChunkBlocks), 1);
  view.chunk_blocks = std::max<std::int64_t>(divide_up(blocks, about), 1);
  std::int64_t end = 0;
  place_plane(view, view.scale, end);
  place_plane(view, view.zero, end);
  place_plane(view, view.offset, end);
  if (view.table_index_group > 0) {
    view.table_index_position = end;
    end += kPanelRows * entries_per_chunk(view, view.table_index_group) * 4;
  }
  const std::int64_t bytes = block_bytes(view.layout);
  view.codes_position = round_up(end, 64);
  view.chunk_bytes = view.codes_position + view.chunk_blocks * bytes;
  const std::int64_t chunks = divide_up(blocks, view.chunk_blocks);
  view.panel_bytes = chunks * view.chunk_bytes - (chunks * view.chunk_blocks - blocks) * bytes;
}

}  // namespace nibble::kernel
