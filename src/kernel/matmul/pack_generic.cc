// The generic layout's packing. Every grouping of the hub is kept as it is; only nested planes are expanded.
#include "kernel/matmul/pack_generic.h"

#include <algorithm>
#include <cstring>

#include "kernel/matmul/matmul_kernel.h"
#include "kernel/matmul/pack_plan.h"

namespace nibble::kernel {
namespace {

GenericPlane::Kind generic_kind(Grouping::Kind kind) {
  switch (kind) {
    case Grouping::Kind::kTensor:
      return GenericPlane::Kind::kTensor;
    case Grouping::Kind::kRow:
      return GenericPlane::Kind::kRow;
    case Grouping::Kind::kColumns:
      return GenericPlane::Kind::kColumns;
    case Grouping::Kind::kBlock:
      return GenericPlane::Kind::kBlock;
    case Grouping::Kind::kFlat:
      return GenericPlane::Kind::kFlat;
    case Grouping::Kind::kStrided:
      return GenericPlane::Kind::kStrided;
    case Grouping::Kind::kIndexed:
      return GenericPlane::Kind::kIndexed;
  }
  return GenericPlane::Kind::kTensor;
}

GenericPlane generic_plane(const Grouping& grouping, const QuantizedMatrix& m) {
  GenericPlane plane;
  plane.kind = generic_kind(grouping.kind);
  plane.size = grouping.size;
  plane.block_rows = grouping.rows;
  plane.entries_per_row = grouping.entries_per_row(m.rows, m.cols);
  return plane;
}

void prepare_plane(const PlaneFormat& format, const QuantizedMatrix& m, GenericPlane& plane,
                   std::vector<float>& values) {
  plane = generic_plane(format.grouping, m);
  values.assign(static_cast<std::size_t>(format.grouping.entries(m.rows, m.cols)), 0.0f);
  plane.values = values.data();
}

void copy_plane(const PlaneFormat& format, const PlaneData& data, std::vector<float>& values) {
  const auto count = static_cast<std::size_t>(plane_entries_held(format, data));
  decode_plane(format, data, std::span(values).subspan(static_cast<std::size_t>(data.first_entry), count));
}

}  // namespace

Status prepare_generic(const QuantizedMatrix& first, PackedMatrix::Storage& s) {
  const QuantScheme& scheme = first.scheme;
  const int bits = scheme.code.bits;
  s.view.layout = Layout::kGeneric;
  s.view.post_scale = scheme.post_scale;
  s.view.generic = &s.generic;
  GenericView& g = s.generic;
  g.bits = bits <= 2 ? bits : bits <= 4 ? 4 : 8;
  g.row_bytes = (first.cols * g.bits + 7) / 8;
  g.table_shift = bits;
  s.panels = AlignedBytes(static_cast<std::size_t>(first.rows * g.row_bytes), s.arena);
  if (s.panels.data() == nullptr)
    return fail(ErrorCode::kOutOfMemory, "{} bytes for a packed matrix of {} x {} are not to be had",
                first.rows * g.row_bytes, first.rows, first.cols);
  g.codes = s.panels.data();
  s.tables = code_values(scheme.code, {});
  g.tables = s.tables.data();
  if (scheme.code.table == TableKind::kStored) {
    g.table = generic_plane(scheme.table.grouping, first);
    if (scheme.table.bank_size > 0) {
      s.selector.assign(static_cast<std::size_t>(scheme.table.grouping.entries(first.rows, first.cols)), 0);
      g.selector = s.selector.data();
    }
  }
  if (scheme.scale) {
    prepare_plane(*scheme.scale, first, g.scale, s.generic_planes[0]);
    g.scale_divides = scheme.scale->divides;
  }
  if (scheme.zero_kind != ZeroKind::kNone) prepare_plane(scheme.zero, first, g.zero, s.generic_planes[1]);
  if (scheme.offset) prepare_plane(*scheme.offset, first, g.offset, s.generic_planes[2]);
  s.group_index = first.group_index;
  g.group_index = s.group_index.data();
  s.name = "generic";
  return {};
}

void pack_generic_codes(const QuantizedMatrix& part, PackedMatrix::Storage& s) {
  const int bits = s.generic.bits;
  const std::int64_t per_byte = 8 / bits;
  for (std::int64_t row = 0; row < part.row_count; ++row) {
    const std::uint8_t* codes = part.codes.data() + row * part.cols;
    std::uint8_t* out = s.panels.data() + (part.row_begin + row) * s.generic.row_bytes;
    std::memset(out, 0, static_cast<std::size_t>(s.generic.row_bytes));
    for (std::int64_t c = 0; c < part.cols; ++c)
      out[c / per_byte] = static_cast<std::uint8_t>(out[c / per_byte] | (codes[c] << (bits * (c % per_byte))));
  }
}

void pack_generic_planes(const QuantizedMatrix& part, PackedMatrix::Storage& s) {
  const QuantScheme& scheme = part.scheme;
  if (scheme.scale) copy_plane(*scheme.scale, part.scale, s.generic_planes[0]);
  if (scheme.zero_kind != ZeroKind::kNone) copy_plane(scheme.zero, part.zero, s.generic_planes[1]);
  if (scheme.offset) copy_plane(*scheme.offset, part.offset, s.generic_planes[2]);
  std::copy(part.selector.begin(), part.selector.end(),
            s.selector.begin() + static_cast<std::ptrdiff_t>(s.selector.empty() ? 0 : part.first_table));
}

}  // namespace nibble::kernel
