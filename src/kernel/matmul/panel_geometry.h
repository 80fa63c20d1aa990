// Where codes and planes lie within a panel: packing places them with this, and reading a stored image checks against
// it.
#pragma once

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

/// Gives a plane its place in the panel, which ends at `end` before and after.
inline void place_plane(PlaneView& view, std::int64_t padded_cols, std::int64_t& end) {
  if (view.kind == PlaneKind::kNone) return;
  view.position = end;
  end += round_up(kPanelRows * divide_up(padded_cols, view.group) * entry_bytes(view.kind), 64);
  if (!is_nested(view.kind)) return;
  view.outer_position = end;
  end += round_up(kPanelRows * divide_up(padded_cols, view.outer_group) * entry_bytes(view.outer_kind), 64);
}

/// Gives all parts behind the codes their places, and the panel its size. Layout, groups and kinds are set.
inline void place_panel(PackedView& view) {
  const std::int64_t padded = round_up(view.cols, kBlockCols);
  std::int64_t end = padded / kBlockCols * block_bytes(view.layout);
  place_plane(view.scale, padded, end);
  place_plane(view.zero, padded, end);
  place_plane(view.offset, padded, end);
  if (view.table_index_group > 0) {
    view.table_index_position = end;
    end += round_up(kPanelRows * divide_up(padded, view.table_index_group) * 4, 64);
  }
  view.panel_bytes = end;
}

}  // namespace nibble::kernel
