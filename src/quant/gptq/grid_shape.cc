#include "quant/gptq/grid_shape.h"

#include <algorithm>
#include <numeric>

#include "quant/gptq/code_levels.h"
#include "quant/gptq/tile_plane.h"
#include "quant/rtn/rtn.h"

namespace nibble {
namespace {

using Kind = Grouping::Kind;

/// Columns that share an entry in every row.
std::int64_t columns_of(const Grouping& grouping, std::int64_t cols) {
  switch (grouping.kind) {
    case Kind::kColumns:
    case Kind::kBlock:
      return std::min(grouping.size, cols);
    case Kind::kFlat:
      return std::gcd(grouping.size, cols);
    default:
      return cols;
  }
}

/// Why a stored codebook cannot be used; empty: it can.
std::string_view why_no_codebook(const QuantScheme& scheme) {
  const Grouping& tables = scheme.table.grouping;
  if (scheme.table.bank_size > 0) return "it picks codebooks from a bank";
  if (tables.kind != Kind::kTensor && tables.kind != Kind::kRow && tables.kind != Kind::kColumns)
    return "its codebooks are not of the tensor, of rows or of runs of columns";
  if (scheme.scale && scheme.scale->nested) return "its scales are nested";
  if (tables.kind == Kind::kColumns && scheme.scale &&
      (scheme.scale->grouping.kind != Kind::kColumns || tables.size % scheme.scale->grouping.size != 0))
    return "its codebooks do not cover whole groups of scales";
  return {};
}

std::string_view why_no_planes(const QuantScheme& scheme) {
  if (scheme.scale->divides || scheme.post_scale != 1.0f) return "its scales divide or have a factor";
  if (scheme.scale->grouping.kind == Kind::kStrided || scheme.scale->grouping.kind == Kind::kIndexed)
    return "its groups are not runs of columns";
  if (scheme.zero_kind != ZeroKind::kNone && scheme.offset) return "it has zero points and offsets";
  if (scheme.zero_kind != ZeroKind::kNone && (scheme.zero.nested || scheme.zero.grouping != scheme.scale->grouping))
    return "its zero points are not in the groups of its scales";
  if (scheme.offset && scheme.offset->grouping != scheme.scale->grouping)
    return "its offsets are not in the groups of its scales";
  const bool integers = scheme.code.kind == CodeFormat::Kind::kInteger;
  if (!integers && (scheme.zero_kind != ZeroKind::kNone || scheme.offset))
    return "its codes are not integers, but it has zero points or offsets";
  return {};
}

}  // namespace

bool is_chosen_before(const Grouping& grouping, std::int64_t cols) {
  return grouping.kind == Kind::kTensor || grouping.kind == Kind::kBlock ||
         (grouping.kind == Kind::kFlat && cols % grouping.size != 0);
}

GridShape grid_shape(const QuantScheme& scheme, std::int64_t cols) {
  GridShape shape{cols, cols};
  if (scheme.scale) shape.run = columns_of(scheme.scale->grouping, cols);
  if (scheme.code.table == TableKind::kStored) shape.run = std::min(shape.run, columns_of(scheme.table.grouping, cols));
  shape.unit = shape.run;
  if (scheme.scale && outer_is_within_rows(*scheme.scale, cols)) shape.unit *= scheme.scale->nested->entries_per_outer;
  return shape;
}

Status check_gptq_scheme(const QuantScheme& scheme, std::int64_t cols) {
  NIBBLE_TRY_STATUS(scheme.validate());
  const auto refuse = [&](std::string_view why) {
    return fail(ErrorCode::kUnsupported, "gptq cannot make {}: {}; use a scheme such as int4-g32-sym, nf4-g64 or q4_k",
                to_string(scheme), why);
  };
  if (scheme.is_float()) return refuse("its weights are not quantized");
  if (!codes_are_free(scheme.code)) return refuse("its codes come in patterns");
  const bool codebook = scheme.code.table == TableKind::kStored;
  if (codebook) {
    if (const std::string_view why = why_no_codebook(scheme); !why.empty()) return refuse(why);
  } else if (!scheme.scale) {
    return refuse("it has no scale");
  }
  if (!scheme.scale) return {};
  if (scheme.code.kind == CodeFormat::Kind::kInteger && scheme.code.bits < 2)
    return refuse("1 bit stands for -1 and 0");
  if (const std::string_view why = why_no_planes(scheme); !why.empty()) return refuse(why);
  const bool before = is_chosen_before(scheme.scale->grouping, cols > 0 ? cols : scheme.scale->grouping.size);
  if (before && (codebook || scheme.offset || scheme.zero_kind == ZeroKind::kReal))
    return refuse("its scales are shared by rows, and it has codebooks, offsets or real zero points");
  if (!scheme.scale->nested) return {};
  const std::int64_t super = scheme.scale->grouping.size * scheme.scale->nested->entries_per_outer;
  const bool within = outer_is_within_rows(*scheme.scale, cols > 0 ? cols : super);
  if (within && (!scheme.offset || outer_is_within_rows(*scheme.offset, cols > 0 ? cols : super))) return {};
  if (scheme.scale->nested->code.table == TableKind::kDynamic8 && !scheme.offset)
    return check_rtn_scheme(scheme.codes_alone());
  if (super > 0 && cols % super != 0)
    return fail(ErrorCode::kUnsupported, "gptq cannot make {} of rows of {} columns: they are not whole blocks of {}",
                to_string(scheme), cols, super);
  return refuse("its scales are nested across rows in another way than -dq");
}

}  // namespace nibble
