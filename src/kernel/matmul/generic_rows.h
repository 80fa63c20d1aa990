// Rows of the generic layout as floats, in plain loops that compilers vectorize. Included by the kernels of every
// instruction set, so all functions here are static and use nothing but the contract.
#pragma once

#include <cstdint>

#include "kernel/matmul/packed_view.h"

namespace nibble::kernel {
namespace {

/// The entry that weight (r, c) of an R x C matrix belongs to, and the first column of the row that belongs to another.
struct GenericRun {
  std::int64_t entry;
  std::int64_t end;
};

inline GenericRun generic_run(const GenericPlane& p, std::int64_t r, std::int64_t c, std::int64_t cols) {
  switch (p.kind) {
    case GenericPlane::Kind::kRow:
      return {r, cols};
    case GenericPlane::Kind::kColumns:
      return {r * p.entries_per_row + c / p.size, (c / p.size + 1) * p.size};
    case GenericPlane::Kind::kBlock:
      return {(r / p.block_rows) * p.entries_per_row + c / p.size, (c / p.size + 1) * p.size};
    case GenericPlane::Kind::kFlat: {
      const std::int64_t entry = (r * cols + c) / p.size;
      return {entry, (entry + 1) * p.size - r * cols};
    }
    default:
      return {0, cols};
  }
}

/// out[c - begin] = entry of weight (r, c), for columns [begin, end).
inline void generic_plane_row(const GenericView& g, const GenericPlane& p, std::int64_t r, std::int64_t begin,
                              std::int64_t end, std::int64_t cols, float* out) {
  if (p.kind == GenericPlane::Kind::kIndexed) {
    const float* values = p.values + r * p.size;
    for (std::int64_t c = begin; c < end; ++c) out[c - begin] = values[g.group_index[c]];
    return;
  }
  if (p.kind == GenericPlane::Kind::kStrided) {
    std::int64_t entry = (r * cols + begin) % p.entries_per_row;
    for (std::int64_t c = begin; c < end; ++c) {
      out[c - begin] = p.values[entry];
      if (++entry == p.entries_per_row) entry = 0;
    }
    return;
  }
  for (std::int64_t c = begin; c < end;) {
    const GenericRun run = generic_run(p, r, c, cols);
    const std::int64_t stop = run.end < end ? run.end : end;
    const float value = p.values[run.entry];
    for (; c < stop; ++c) out[c - begin] = value;
  }
}

inline void generic_lookup_row(const GenericView& g, std::int64_t r, std::int64_t begin, std::int64_t end,
                               std::int64_t cols, float* out) {
  const std::uint8_t* codes = g.codes + r * g.row_bytes;
  const unsigned mask = (1u << g.bits) - 1u;
  const int log_per_byte = g.bits == 8 ? 0 : g.bits == 4 ? 1 : g.bits == 2 ? 2 : 3;
  for (std::int64_t c = begin; c < end;) {
    std::int64_t stop = end;
    const float* table = g.tables;
    if (g.table.kind != GenericPlane::Kind::kNone) {
      const GenericRun run = generic_run(g.table, r, c, cols);
      if (run.end < stop) stop = run.end;
      const std::int64_t number = g.selector != nullptr ? g.selector[run.entry] : run.entry;
      table += number << g.table_shift;
    }
    for (; c < stop; ++c) {
      const std::int64_t in_byte = c & ((std::int64_t{1} << log_per_byte) - 1);
      out[c - begin] = table[(static_cast<unsigned>(codes[c >> log_per_byte]) >> (in_byte * g.bits)) & mask];
    }
  }
}

/// out[c - begin] = dequantized weight (r, c) for columns [begin, end), at most 64 of them.
inline void generic_row(const PackedView& w, std::int64_t r, std::int64_t begin, std::int64_t end, float* out) {
  const GenericView& g = *w.generic;
  const std::int64_t count = end - begin;
  float entry[64];
  generic_lookup_row(g, r, begin, end, w.cols, out);
  if (g.zero.kind != GenericPlane::Kind::kNone) {
    generic_plane_row(g, g.zero, r, begin, end, w.cols, entry);
    for (std::int64_t i = 0; i < count; ++i) out[i] -= entry[i];
  }
  if (g.scale.kind != GenericPlane::Kind::kNone) {
    generic_plane_row(g, g.scale, r, begin, end, w.cols, entry);
    if (g.scale_divides)
      for (std::int64_t i = 0; i < count; ++i) out[i] = out[i] / entry[i];
    else
      for (std::int64_t i = 0; i < count; ++i) out[i] = entry[i] * out[i];
  }
  if (w.post_scale != 1.0f)
    for (std::int64_t i = 0; i < count; ++i) out[i] *= w.post_scale;
  if (g.offset.kind != GenericPlane::Kind::kNone) {
    generic_plane_row(g, g.offset, r, begin, end, w.cols, entry);
    for (std::int64_t i = 0; i < count; ++i) out[i] += entry[i];
  }
}

/// slab[16 * k + row] for columns [begin, begin + 32) of the 16 rows from `first_row`; zero outside the matrix.
inline void generic_block(const PackedView& w, std::int64_t first_row, std::int64_t begin, float* slab) {
  const std::int64_t end = begin + kBlockCols < w.cols ? begin + kBlockCols : w.cols;
  for (int row = 0; row < kPanelRows; ++row) {
    float values[kBlockCols];
    for (float& value : values) value = 0.0f;
    if (first_row + row < w.rows) generic_row(w, first_row + row, begin, end, values);
    for (int k = 0; k < kBlockCols; ++k) slab[kPanelRows * k + row] = values[k];
  }
}

}  // namespace
}  // namespace nibble::kernel
