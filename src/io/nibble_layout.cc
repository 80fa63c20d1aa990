// The list of tensors behind a module of the nibble family.
#include "io/nibble_layout.h"

#include "io/bit_packing.h"

namespace nibble {
namespace {

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Types that other readers of safetensors may not know are stored as bytes.
ElementType stored_type(ElementType type) { return type == ElementType::kE8m0 ? ElementType::kU8 : type; }

Status check_fit(const Grouping& grouping, std::int64_t rows, std::int64_t cols) {
  if (grouping.kind == Grouping::Kind::kStrided && rows * cols % grouping.size != 0)
    return fail(ErrorCode::kInvalidArgument, "{} x {} weights do not divide into strided groups of {}", rows, cols,
                grouping.size);
  return {};
}

Status add_plane(NibblePlane plane, const std::string& suffix, const PlaneFormat& format, std::int64_t rows,
                 std::int64_t cols, std::vector<NibbleTensor>& out) {
  NIBBLE_TRY_STATUS(check_fit(format.grouping, rows, cols));
  const std::int64_t entries = format.grouping.entries(rows, cols);
  if (!format.nested) {
    out.push_back({NibblePart::kEntries, plane, suffix, {entries}, stored_type(format.element)});
    return {};
  }
  const NestedFormat& nested = *format.nested;
  const auto code_bytes =
      static_cast<std::int64_t>(packed_bytes(static_cast<std::uint64_t>(entries), nested.code.bits));
  out.push_back({NibblePart::kNestedCodes, plane, suffix + ".codes", {code_bytes}, ElementType::kU8});
  out.push_back(
      {NibblePart::kOuter, plane, suffix + ".outer", {nibble_outer_count(nested, entries)}, stored_type(nested.outer)});
  if (nested.code.table == TableKind::kStored)
    out.push_back(
        {NibblePart::kNestedTable, plane, suffix + ".table", {std::int64_t{1} << nested.code.bits}, ElementType::kF32});
  if (nested.has_constant) out.push_back({NibblePart::kConstant, plane, suffix + ".constant", {1}, ElementType::kF32});
  return {};
}

bool uses_index(const QuantScheme& scheme) {
  const auto indexed = [](const PlaneFormat& plane) { return plane.grouping.kind == Grouping::Kind::kIndexed; };
  return (scheme.scale && indexed(*scheme.scale)) || (scheme.offset && indexed(*scheme.offset)) ||
         (scheme.zero_kind != ZeroKind::kNone && indexed(scheme.zero));
}

void add_supplement(const SupplementFormat& format, std::int64_t rows, std::int64_t cols,
                    std::vector<NibbleTensor>& out) {
  const auto add = [&](NibblePart part, const char* suffix, std::vector<std::int64_t> shape, ElementType element) {
    out.push_back({part, NibblePlane::kNone, suffix, std::move(shape), element});
  };
  if (const std::int64_t kept = format.kept_columns(cols); kept > 0) {
    add(NibblePart::kKeptColumns, ".kept.columns", {kept}, ElementType::kI32);
    add(NibblePart::kKept, ".kept", {rows, kept}, format.kept_element);
    if (format.kept_element == ElementType::kI8) add(NibblePart::kKeptScale, ".kept.scale", {rows}, ElementType::kF16);
  }
  if (format.rank == 0) return;
  add(NibblePart::kLeft, ".left", {rows, format.rank}, ElementType::kF16);
  add(NibblePart::kRight, ".right", {format.rank, cols}, ElementType::kF16);
}

}  // namespace

std::uint64_t nibble_row_bytes(const CodeFormat& code, std::int64_t cols) {
  const auto count = static_cast<std::uint64_t>(cols);
  return code.code_bytes() > 1 ? count * static_cast<std::uint64_t>(code.code_bytes()) : packed_bytes(count, code.bits);
}

std::int64_t nibble_outer_count(const NestedFormat& nested, std::int64_t entries) {
  return nested.entries_per_outer == 0 ? 1 : divide_up(entries, nested.entries_per_outer);
}

const PlaneFormat& plane_format(const QuantScheme& scheme, NibblePlane plane) {
  switch (plane) {
    case NibblePlane::kScale:
      return *scheme.scale;
    case NibblePlane::kOffset:
      return *scheme.offset;
    default:
      return scheme.zero;
  }
}

Result<std::vector<NibbleTensor>> nibble_tensors(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols) {
  std::vector<NibbleTensor> out;
  out.push_back({NibblePart::kShape, NibblePlane::kNone, ".shape", {2}, ElementType::kI64});
  out.push_back({NibblePart::kCodes,
                 NibblePlane::kNone,
                 ".codes",
                 {rows, static_cast<std::int64_t>(nibble_row_bytes(scheme.code, cols))},
                 ElementType::kU8});
  if (scheme.scale) NIBBLE_TRY_STATUS(add_plane(NibblePlane::kScale, ".scale", *scheme.scale, rows, cols, out));
  if (scheme.zero_kind != ZeroKind::kNone)
    NIBBLE_TRY_STATUS(add_plane(NibblePlane::kZero, ".zero", scheme.zero, rows, cols, out));
  if (scheme.offset) NIBBLE_TRY_STATUS(add_plane(NibblePlane::kOffset, ".offset", *scheme.offset, rows, cols, out));
  if (scheme.code.table == TableKind::kStored) {
    NIBBLE_TRY_STATUS(check_fit(scheme.table.grouping, rows, cols));
    const std::int64_t entries = scheme.table.grouping.entries(rows, cols);
    const bool bank = scheme.table.bank_size > 0;
    out.push_back({NibblePart::kTable,
                   NibblePlane::kNone,
                   ".table",
                   {bank ? scheme.table.bank_size : entries, std::int64_t{1} << scheme.code.bits},
                   stored_type(scheme.table.element)});
    if (bank) out.push_back({NibblePart::kSelector, NibblePlane::kNone, ".selector", {entries}, ElementType::kU8});
  }
  if (uses_index(scheme))
    out.push_back({NibblePart::kGroupIndex, NibblePlane::kNone, ".group_index", {cols}, ElementType::kI32});
  add_supplement(scheme.supplement, rows, cols, out);
  return out;
}

}  // namespace nibble
