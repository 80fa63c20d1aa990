// Another grid for the same values. Codes go through a table of 256 shifted codes per group; planes entry by entry.
#include "tensor/regrid.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

namespace nibble {
namespace {

using Kind = Grouping::Kind;

/// Integers that the codes of a format stand for, before the zero point: x = value[code].
struct IntegerCodes {
  std::array<std::int16_t, 256> value{};
  int count = 0;
  std::int32_t low = 0;
  std::int32_t high = 0;
};

std::optional<IntegerCodes> integer_codes(const CodeFormat& code) {
  if (code.kind == CodeFormat::Kind::kFloat) return std::nullopt;
  const std::span<const float> table = table_values(code.table);
  if (code.kind == CodeFormat::Kind::kTable && table.empty()) return std::nullopt;
  IntegerCodes out;
  out.count = code.kind == CodeFormat::Kind::kTable ? static_cast<int>(table.size()) : 1 << code.bits;
  for (int i = 0; i < out.count; ++i) {
    float x = static_cast<float>(i - code.bias);
    if (code.kind == CodeFormat::Kind::kTable) x = table[static_cast<std::size_t>(i)];
    if (x != std::nearbyint(x) || std::fabs(x) > 256.0f) return std::nullopt;
    out.value[static_cast<std::size_t>(i)] = static_cast<std::int16_t>(x);
    out.low = std::min(out.low, static_cast<std::int32_t>(x));
    out.high = std::max(out.high, static_cast<std::int32_t>(x));
  }
  return out;
}

bool has_integer_zero(const QuantScheme& scheme) { return scheme.zero_kind == ZeroKind::kInteger; }

/// Every group of `to` lies within one of `from`.
bool refines(const Grouping& to, const Grouping& from, std::int64_t rows, std::int64_t cols) {
  if (to == from) return true;
  if (to.kind == Kind::kIndexed || to.kind == Kind::kStrided || from.kind == Kind::kIndexed ||
      from.kind == Kind::kStrided)
    return false;
  if (from.kind == Kind::kTensor) return true;
  if (to.kind == Kind::kTensor) return false;
  const bool one_row = to.kind == Kind::kRow || to.kind == Kind::kColumns ||
                       (to.kind == Kind::kBlock && to.rows == 1) || (to.kind == Kind::kFlat && cols % to.size == 0);
  const std::int64_t width = to.kind == Kind::kRow ? cols : to.size;
  switch (from.kind) {
    case Kind::kRow:
      return one_row;
    case Kind::kColumns:
      return one_row && (from.size >= cols || (width <= from.size && from.size % width == 0));
    case Kind::kBlock: {
      const bool columns = from.size >= cols || (width <= from.size && from.size % width == 0);
      if (to.kind == Kind::kBlock) return columns && from.rows % to.rows == 0;
      return one_row && columns;
    }
    case Kind::kFlat:
      if (to.kind == Kind::kFlat) return from.size % to.size == 0;
      if (!one_row) return false;
      return from.size % cols == 0 || (cols % from.size == 0 && width <= from.size && from.size % width == 0) ||
             (rows == 1 && from.size >= cols);
    default:
      return false;
  }
}

/// Every number of `from` is one of `to`.
bool widens(const PlaneFormat& from, ElementType to) {
  if (from.nested) return to == ElementType::kF32;
  if (from.element == to || to == ElementType::kF32) return true;
  return from.element == ElementType::kE4m3 && (to == ElementType::kF16 || to == ElementType::kBf16);
}

bool is_power_of_two(float x) {
  int exponent;
  return std::frexp(x, &exponent) == 0.5f;
}

/// What a scale has to be multiplied by; nothing when the constant factors differ in a way that would round.
std::optional<float> scale_factor(const QuantScheme& from, const QuantScheme& to) {
  if (from.post_scale == to.post_scale) return 1.0f;
  if (to.post_scale == 1.0f && is_power_of_two(from.post_scale)) return from.post_scale;
  return std::nullopt;
}

/// Both planes, as they are stored.
bool same_plane(const PlaneFormat& from, const PlaneFormat& to) { return from == to; }

/// How far the scale planes go together.
Regrid scales_fit(const QuantScheme& from, const QuantScheme& to, std::int64_t rows, std::int64_t cols) {
  const std::optional<float> factor = scale_factor(from, to);
  if (!factor) return Regrid::kNever;
  if (!to.scale) return from.scale || *factor != 1.0f ? Regrid::kNever : Regrid::kAlways;
  if (!from.scale) return to.scale->nested || to.scale->divides ? Regrid::kNever : Regrid::kAlways;
  if (same_plane(*from.scale, *to.scale) && *factor == 1.0f) return Regrid::kAlways;
  if (to.scale->nested || from.scale->divides != to.scale->divides ||
      !refines(to.scale->grouping, from.scale->grouping, rows, cols))
    return Regrid::kNever;
  return widens(*from.scale, to.scale->element) && *factor == 1.0f ? Regrid::kAlways : Regrid::kByData;
}

Regrid offsets_fit(const QuantScheme& from, const QuantScheme& to, std::int64_t rows, std::int64_t cols) {
  if (!from.offset && !to.offset) return Regrid::kAlways;
  if (!from.offset || !to.offset) return Regrid::kNever;
  if (same_plane(*from.offset, *to.offset)) return Regrid::kAlways;
  if (to.offset->nested || !refines(to.offset->grouping, from.offset->grouping, rows, cols)) return Regrid::kNever;
  return widens(*from.offset, to.offset->element) ? Regrid::kAlways : Regrid::kByData;
}

bool same_codes(const QuantScheme& from, const QuantScheme& to) {
  return from.code == to.code && from.table == to.table && from.zero_kind == to.zero_kind &&
         (from.zero_kind != ZeroKind::kReal || same_plane(from.zero, to.zero));
}

Regrid codes_fit(const QuantScheme& from, const QuantScheme& to, std::int64_t rows, std::int64_t cols) {
  const bool zeros_go = !has_integer_zero(from) || !has_integer_zero(to) ||
                        (!to.zero.nested && refines(to.zero.grouping, from.zero.grouping, rows, cols));
  if (same_codes(from, to)) return zeros_go ? Regrid::kAlways : Regrid::kNever;
  const std::optional<IntegerCodes> a = integer_codes(from.code);
  const std::optional<IntegerCodes> b = integer_codes(to.code);
  if (!a || !b || from.zero_kind == ZeroKind::kReal || to.zero_kind == ZeroKind::kReal || !zeros_go)
    return Regrid::kNever;
  if (has_integer_zero(from) &&
      !refines(to.scale ? to.scale->grouping : Grouping::tensor(), from.zero.grouping, rows, cols) &&
      !has_integer_zero(to))
    return Regrid::kNever;
  if (has_integer_zero(to)) {
    const bool integers = from.code.kind == CodeFormat::Kind::kInteger && to.code.kind == CodeFormat::Kind::kInteger;
    if (!integers || to.zero.nested || to.zero.element != ElementType::kI16) return Regrid::kNever;
    return to.code.bits >= from.code.bits ? Regrid::kAlways : Regrid::kByData;
  }
  const std::int32_t reach = has_integer_zero(from) ? 1 << from.code.bits : 0;
  const std::int32_t low = has_integer_zero(from) ? -reach : a->low;
  const std::int32_t high = has_integer_zero(from) ? reach - 1 : a->high;
  // Gaps in the target's table (IQ4's) leave it to the data.
  const bool dense = to.code.kind == CodeFormat::Kind::kInteger || to.code.table == TableKind::kTernary;
  return dense && low >= b->low && high <= b->high ? Regrid::kAlways : Regrid::kByData;
}

Regrid least(Regrid a, Regrid b) { return std::min(a, b); }

/// A zero point (or none) that becomes an offset: code * scale - zero * scale, rounded.
bool becomes_offset(const QuantScheme& from, const QuantScheme& to) {
  return !from.offset && to.offset && !to.offset->nested && to.zero_kind == ZeroKind::kNone && to.code.bias == 0 &&
         from.scale && to.scale && !from.scale->divides && from.code.kind == CodeFormat::Kind::kInteger &&
         to.code.kind == CodeFormat::Kind::kInteger && to.code.bits >= from.code.bits;
}

/// Entries of a plane by weight, as floats.
class Entries {
 public:
  Entries(const std::optional<PlaneFormat>& format, const PlaneData& data, const QuantizedMatrix& matrix, float absent)
      : format_(format), first_(data.first_entry), matrix_(matrix), absent_(absent) {
    if (!format) return;
    values_.resize(static_cast<std::size_t>(plane_entries_held(*format, data)));
    decode_plane(*format, data, values_);
  }
  float at(std::int64_t row, std::int64_t col) const {
    if (!format_) return absent_;
    return values_[static_cast<std::size_t>(
        format_->grouping.entry(row, col, matrix_.rows, matrix_.cols, matrix_.group_index.data()) - first_)];
  }

 private:
  const std::optional<PlaneFormat>& format_;
  std::int64_t first_;
  const QuantizedMatrix& matrix_;
  float absent_;
  std::vector<float> values_;
};

/// Calls visit(entry, row, col) for every entry of a plane of `m`, (row, col) being a weight of its group.
template <typename Visit>
void for_each_entry(const Grouping& grouping, const QuantizedMatrix& m, const Visit& visit) {
  const EntryRange range = entry_range(grouping, m.rows, m.cols, m.row_begin, m.row_count);
  const std::int64_t per_row = grouping.entries_per_row(m.rows, m.cols);
  for (std::int64_t e = range.first; e < range.first + range.count; ++e) {
    std::int64_t row = m.row_begin;
    std::int64_t col = 0;
    switch (grouping.kind) {
      case Kind::kTensor:
        break;
      case Kind::kFlat:
        row = e * grouping.size / m.cols;
        col = e * grouping.size % m.cols;
        if (row < m.row_begin) row = m.row_begin, col = 0;
        break;
      case Kind::kBlock:
        row = std::max(e / per_row * grouping.rows, m.row_begin);
        col = e % per_row * grouping.size;
        break;
      default:
        row = e / per_row;
        col = e % per_row * (grouping.kind == Kind::kRow ? 0 : grouping.size);
    }
    visit(e - range.first, row, col);
  }
}

/// Regrids one range of rows; codes that stay as they are change hands.
class Regridder {
 public:
  Regridder(QuantizedMatrix& from, PlaneRounding rounding, QuantizedMatrix& out)
      : from_(from), rounding_(rounding), out_(out), to_(out.scheme) {}

  Status run() {
    NIBBLE_TRY_STATUS(move_scales());
    NIBBLE_TRY_STATUS(move_offsets());
    return move_codes();
  }

 private:
  /// Stores `values` in `type`; refuses or rounds what it cannot hold. Rounding that takes more than a hundredth of a
  /// value (beyond the type's range) would be a loss, so it is refused too.
  Status store(std::string_view plane, ElementType type, const std::vector<float>& values,
               std::vector<std::byte>& bytes) const {
    encode_elements(type, values.data(), values.size(), bytes.data());
    const float allowed = rounding_ == PlaneRounding::kNearest ? 0.01f : 0.0f;
    std::vector<float> stored(values.size());
    decode_elements(type, bytes.data(), values.size(), stored.data());
    for (std::size_t i = 0; i < values.size(); ++i)
      if (!(std::fabs(stored[i] - values[i]) <= allowed * std::fabs(values[i])) && stored[i] != values[i] &&
          !(std::isnan(stored[i]) && std::isnan(values[i])))
        return fail(ErrorCode::kUnsupported, "rows {} to {}: the {} {} is no {}", from_.row_begin,
                    from_.row_begin + from_.row_count - 1, plane, values[i], element_info(type).name);
    return {};
  }

  Status move_scales() {
    if (!to_.scale) return {};
    const float factor = scale_factor(from_.scheme, to_).value_or(1.0f);
    if (from_.scheme.scale && same_plane(*from_.scheme.scale, *to_.scale) && factor == 1.0f) {
      out_.scale = from_.scale;
      return {};
    }
    const Entries scales(from_.scheme.scale, from_.scale, from_, 1.0f);
    std::vector<float> values(static_cast<std::size_t>(plane_entries_held(*to_.scale, out_.scale)));
    for_each_entry(to_.scale->grouping, out_, [&](std::int64_t e, std::int64_t row, std::int64_t col) {
      values[static_cast<std::size_t>(e)] = scales.at(row, col) * factor;
    });
    return store("scale", to_.scale->element, values, out_.scale.entries);
  }

  Status move_offsets() {
    if (!to_.offset) return {};
    if (from_.scheme.offset && same_plane(*from_.scheme.offset, *to_.offset)) {
      out_.offset = from_.offset;
      return {};
    }
    std::vector<float> values(static_cast<std::size_t>(plane_entries_held(*to_.offset, out_.offset)));
    if (from_.scheme.offset) {
      const Entries offsets(from_.scheme.offset, from_.offset, from_, 0.0f);
      for_each_entry(to_.offset->grouping, out_, [&](std::int64_t e, std::int64_t row, std::int64_t col) {
        values[static_cast<std::size_t>(e)] = offsets.at(row, col);
      });
    } else {
      const Entries scales(from_.scheme.scale, from_.scale, from_, 1.0f);
      const std::optional<PlaneFormat> zero_format =
          from_.scheme.zero_kind == ZeroKind::kNone ? std::nullopt : std::optional(from_.scheme.zero);
      const Entries zeros(zero_format, from_.zero, from_, 0.0f);
      const auto bias = static_cast<float>(from_.scheme.code.bias);
      for_each_entry(to_.offset->grouping, out_, [&](std::int64_t e, std::int64_t row, std::int64_t col) {
        values[static_cast<std::size_t>(e)] = -scales.at(row, col) * (bias + zeros.at(row, col));
      });
    }
    return store("offset", to_.offset->element, values, out_.offset.entries);
  }

  Status move_codes() {
    if (same_codes(from_.scheme, to_)) {
      std::swap(out_.codes, from_.codes);
      out_.tables = from_.tables;
      out_.first_table = from_.first_table;
      out_.selector = from_.selector;
      if (to_.zero_kind == ZeroKind::kReal) out_.zero = from_.zero;
      if (has_integer_zero(to_)) move_zeros(0);
      return {};
    }
    if (becomes_offset(from_.scheme, to_)) {
      std::swap(out_.codes, from_.codes);
      return {};
    }
    if (has_integer_zero(to_)) {
      // Codes stay, and so does the code that stands for 0.
      NIBBLE_TRY_STATUS(check_width());
      std::swap(out_.codes, from_.codes);
      move_zeros(from_.scheme.code.bias - to_.code.bias);
      return {};
    }
    return shift_codes();
  }

  void move_zeros(std::int32_t shift) {
    const std::optional<PlaneFormat> format =
        has_integer_zero(from_.scheme) ? std::optional(from_.scheme.zero) : std::nullopt;
    const Entries zeros(format, from_.zero, from_, 0.0f);
    std::vector<float> values(static_cast<std::size_t>(plane_entries_held(to_.zero, out_.zero)));
    for_each_entry(to_.zero.grouping, out_, [&](std::int64_t e, std::int64_t row, std::int64_t col) {
      values[static_cast<std::size_t>(e)] = zeros.at(row, col) + static_cast<float>(shift);
    });
    encode_elements(to_.zero.element, values.data(), values.size(), out_.zero.entries.data());
  }

  Status check_width() const {
    std::uint8_t all = 0;
    for (const std::uint8_t code : from_.codes) all |= code;
    if (all >> to_.code.bits != 0)
      return fail(ErrorCode::kUnsupported, "rows {} to {}: a code does not fit in {} bits", from_.row_begin,
                  from_.row_begin + from_.row_count - 1, to_.code.bits);
    return {};
  }

  /// code' = the target's code of value[code] - zero, by a table per zero point.
  Status shift_codes() {
    const IntegerCodes a = *integer_codes(from_.scheme.code);
    const IntegerCodes b = *integer_codes(to_.code);
    const std::optional<PlaneFormat> format =
        has_integer_zero(from_.scheme) ? std::optional(from_.scheme.zero) : std::nullopt;
    const Entries zeros(format, from_.zero, from_, 0.0f);
    const std::int64_t run = format ? zero_run() : from_.cols;
    std::array<std::uint16_t, 256> table{};
    std::optional<float> built_for;
    for (std::int64_t row = from_.row_begin; row < from_.row_begin + from_.row_count; ++row) {
      for (std::int64_t col = 0; col < from_.cols; col += run) {
        const float zero = zeros.at(row, col);
        if (built_for != zero) build_table(a, b, static_cast<std::int32_t>(zero), table);
        built_for = zero;
        const std::int64_t at = (row - from_.row_begin) * from_.cols + col;
        const std::int64_t count = std::min(run, from_.cols - col);
        std::uint16_t outside = 0;
        for (std::int64_t i = at; i < at + count; ++i) {
          const std::uint16_t code = table[from_.codes[static_cast<std::size_t>(i)]];
          outside |= code;
          out_.codes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(code);
        }
        if (outside > 255)
          return fail(ErrorCode::kUnsupported, "row {}, columns {} to {}: a code does not fit in {}", row, col,
                      col + count - 1, to_string(to_));
      }
    }
    return {};
  }

  /// A run of columns that share their zero point.
  std::int64_t zero_run() const {
    const Grouping& grouping = from_.scheme.zero.grouping;
    switch (grouping.kind) {
      case Kind::kTensor:
      case Kind::kRow:
        return from_.cols;
      case Kind::kColumns:
      case Kind::kBlock:
        return grouping.size;
      default:
        return 1;
    }
  }

  static void build_table(const IntegerCodes& a, const IntegerCodes& b, std::int32_t zero,
                          std::array<std::uint16_t, 256>& table) {
    constexpr std::uint16_t kOutside = 0x8000;
    table.fill(kOutside);
    for (int i = 0; i < a.count; ++i) {
      const std::int32_t wanted = a.value[static_cast<std::size_t>(i)] - zero;
      for (int j = 0; j < b.count; ++j)
        if (b.value[static_cast<std::size_t>(j)] == wanted) {
          table[static_cast<std::size_t>(i)] = static_cast<std::uint16_t>(j);
          break;
        }
    }
  }

  QuantizedMatrix& from_;
  PlaneRounding rounding_;
  QuantizedMatrix& out_;
  const QuantScheme& to_;
};

class RegridSource final : public MatrixSource {
 public:
  RegridSource(MatrixPtr source, QuantScheme scheme, PlaneRounding rounding)
      : source_(std::move(source)), scheme_(std::move(scheme)), rounding_(rounding) {}
  const QuantScheme& scheme() const override { return scheme_; }
  std::int64_t rows() const override { return source_->rows(); }
  std::int64_t cols() const override { return source_->cols(); }
  std::int64_t row_step() const override { return source_->row_step(); }
  void release(std::int64_t begin, std::int64_t count) const override { source_->release(begin, count); }
  Status decode(std::int64_t begin, std::int64_t count, QuantizedMatrix& out) const override {
    thread_local QuantizedMatrix from;
    NIBBLE_TRY_STATUS(source_->decode(begin, count, from));
    return regrid(std::move(from), scheme_, rounding_, out);
  }

 private:
  MatrixPtr source_;
  QuantScheme scheme_;
  PlaneRounding rounding_;
};

}  // namespace

Regrid can_regrid(const QuantScheme& from, const QuantScheme& to, std::int64_t rows, std::int64_t cols) {
  if (!from.supplement.empty() || !to.supplement.empty()) return Regrid::kNever;
  return least(codes_fit(from, to, rows, cols),
               least(scales_fit(from, to, rows, cols), offsets_fit(from, to, rows, cols)));
}

Regrid can_keep_codes(const QuantScheme& from, const QuantScheme& to, std::int64_t rows, std::int64_t cols) {
  if (!from.supplement.empty() || !to.supplement.empty()) return Regrid::kNever;
  if (becomes_offset(from, to)) {
    const bool groups =
        scales_fit(from, to, rows, cols) != Regrid::kNever &&
        refines(to.offset->grouping, from.scale->grouping, rows, cols) &&
        (from.zero_kind == ZeroKind::kNone || refines(to.offset->grouping, from.zero.grouping, rows, cols));
    return groups ? Regrid::kAlways : Regrid::kNever;
  }
  const bool planes =
      scales_fit(from, to, rows, cols) != Regrid::kNever && offsets_fit(from, to, rows, cols) != Regrid::kNever;
  return planes ? codes_fit(from, to, rows, cols) : Regrid::kNever;
}

Status regrid(QuantizedMatrix&& from, const QuantScheme& to, PlaneRounding rounding, QuantizedMatrix& out) {
  out.allocate(to, from.rows, from.cols, from.row_begin, from.row_count);
  if (to.scale && to.scale->grouping.kind == Kind::kIndexed) out.group_index = from.group_index;
  return Regridder(from, rounding, out).run();
}

Status regrid(const QuantizedMatrix& from, const QuantScheme& to, PlaneRounding rounding, QuantizedMatrix& out) {
  return regrid(QuantizedMatrix(from), to, rounding, out);
}

MatrixPtr regrid_source(MatrixPtr source, QuantScheme to, PlaneRounding rounding) {
  return std::make_shared<RegridSource>(std::move(source), std::move(to), rounding);
}

}  // namespace nibble
