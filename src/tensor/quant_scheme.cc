// Sizes and validity of schemes.
#include "tensor/quant_scheme.h"

#include "format/ggml_types.h"
#include "tensor/ggml_schemes.h"
#include "tensor/quantized_matrix.h"
#include "tensor/supplement.h"

namespace nibble {
namespace {

std::int64_t plane_bits(const PlaneFormat& plane, std::int64_t rows, std::int64_t cols) {
  const std::int64_t entries = plane.grouping.entries(rows, cols);
  if (!plane.nested) return entries * element_info(plane.element).bits;
  const NestedFormat& nested = *plane.nested;
  const std::int64_t outers =
      nested.entries_per_outer == 0 ? 1 : (entries + nested.entries_per_outer - 1) / nested.entries_per_outer;
  std::int64_t bits = entries * nested.code.bits + outers * element_info(nested.outer).bits;
  if (nested.has_constant) bits += 32;
  if (nested.code.table == TableKind::kStored) bits += 32 * (std::int64_t{1} << nested.code.bits);
  return bits;
}

std::int64_t supplement_bits(const SupplementFormat& supplement, std::int64_t rows, std::int64_t cols) {
  const std::int64_t kept = supplement.kept_columns(cols);
  std::int64_t bits = kept * (rows * element_info(supplement.kept_element).bits + 32);  // and its number
  if (kept > 0 && supplement.kept_element == ElementType::kI8) bits += rows * 16;
  return bits + supplement.rank * (rows + cols) * 16;
}

Status check_supplement(const SupplementFormat& supplement) {
  if (supplement.kept_parts < 0 || supplement.kept_parts > 10000)
    return fail(ErrorCode::kInvalidArgument, "{} of 10,000 columns cannot be kept", supplement.kept_parts);
  if (supplement.kept_element != ElementType::kF16 && supplement.kept_element != ElementType::kI8)
    return fail(ErrorCode::kInvalidArgument, "kept columns of {}; f16 and i8 are possible",
                element_info(supplement.kept_element).name);
  if (supplement.rank < 0 || supplement.rank > kMaxSupplementRank)
    return fail(ErrorCode::kInvalidArgument, "a product of rank {}; 1 to {} are possible", supplement.rank,
                kMaxSupplementRank);
  return {};
}

Status check_grouping(const Grouping& grouping) {
  using Kind = Grouping::Kind;
  const bool sized = grouping.kind != Kind::kTensor && grouping.kind != Kind::kRow;
  if (sized && grouping.size < 1)
    return fail(ErrorCode::kInvalidArgument, "a group size of {} is not possible", grouping.size);
  if (grouping.rows < 1)
    return fail(ErrorCode::kInvalidArgument, "a block height of {} is not possible", grouping.rows);
  return {};
}

Status check_code(const CodeFormat& code) {
  if (code.kind != CodeFormat::Kind::kFloat && (code.bits < 1 || code.bits > 8))
    return fail(ErrorCode::kInvalidArgument, "{} bits per code; 1 to 8 are possible", code.bits);
  if ((code.kind == CodeFormat::Kind::kTable) != (code.table != TableKind::kNone))
    return fail(ErrorCode::kInvalidArgument, "a table code needs a table, and only a table code has one");
  return {};
}

Status check_plane(const PlaneFormat& plane) {
  NIBBLE_TRY_STATUS(check_grouping(plane.grouping));
  if (plane.nested) {
    NIBBLE_TRY_STATUS(check_code(plane.nested->code));
    if (plane.nested->entries_per_outer < 0) return fail(ErrorCode::kInvalidArgument, "a negative outer group");
    if (plane.nested->code.code_bytes() != 1)
      return fail(ErrorCode::kInvalidArgument, "nested codes wider than a byte");
  } else if (plane.element == ElementType::kF4) {
    return fail(ErrorCode::kInvalidArgument, "4-bit plane entries must be nested codes");
  }
  return {};
}

}  // namespace

int CodeFormat::code_bytes() const {
  if (kind != Kind::kFloat) return 1;
  const int wide = element_info(float_type).bits / 8;
  return wide < 1 ? 1 : wide;
}

QuantScheme QuantScheme::of_float(ElementType type) {
  QuantScheme scheme;
  scheme.code = CodeFormat::floating(type);
  return scheme;
}

QuantScheme QuantScheme::codes_alone() const {
  QuantScheme scheme = *this;
  scheme.supplement = {};
  return scheme;
}

std::int64_t QuantScheme::stored_bits(std::int64_t rows, std::int64_t cols) const {
  if (code.kind == CodeFormat::Kind::kTable && code.table != TableKind::kStored) {
    // ggml's grids and base-3 digits take fewer bits than a code's width; its block size says how many.
    QuantScheme weights = *this;
    weights.activations = {};
    if (const auto type = ggml_type_of(weights)) {
      const GgmlTypeInfo& info = *find_ggml_type(*type);
      return rows * ((cols + info.block_values - 1) / info.block_values) * info.block_bytes * 8;
    }
  }
  std::int64_t bits = rows * cols * code.bits;
  if (scale) bits += plane_bits(*scale, rows, cols);
  if (zero_kind == ZeroKind::kInteger) bits += zero.grouping.entries(rows, cols) * code.bits;  // packed like the codes
  if (zero_kind == ZeroKind::kReal) bits += plane_bits(zero, rows, cols);
  if (offset) bits += plane_bits(*offset, rows, cols);
  if (code.table == TableKind::kStored) {
    const std::int64_t table_bits = (std::int64_t{1} << code.bits) * element_info(table.element).bits;
    const std::int64_t entries = table.grouping.entries(rows, cols);
    bits += table.bank_size > 0 ? table.bank_size * table_bits + entries * 8 : entries * table_bits;
  }
  return bits + supplement_bits(supplement, rows, cols);
}

Status QuantScheme::validate() const {
  NIBBLE_TRY_STATUS(check_code(code));
  if (scale) NIBBLE_TRY_STATUS(check_plane(*scale));
  if (zero_kind != ZeroKind::kNone) NIBBLE_TRY_STATUS(check_plane(zero));
  if (offset) NIBBLE_TRY_STATUS(check_plane(*offset));
  if (code.table == TableKind::kStored) NIBBLE_TRY_STATUS(check_grouping(table.grouping));
  if (is_float() && !supplement.empty())
    return fail(ErrorCode::kInvalidArgument, "nothing stands beside codes of {}", element_info(code.float_type).name);
  return check_supplement(supplement);
}

}  // namespace nibble
