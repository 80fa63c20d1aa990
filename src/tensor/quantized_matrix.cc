// Allocation, validation and the meaning (dequantization) of quantized matrices.
#include "tensor/quantized_matrix.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "base/half.h"
#include "tensor/supplement.h"

namespace nibble {
namespace {

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

std::size_t element_size(ElementType type) { return static_cast<std::size_t>(element_info(type).bits) / 8; }

void allocate_plane(const PlaneFormat& format, const EntryRange& range, PlaneData& data) {
  data = PlaneData{};
  data.first_entry = range.first;
  const auto count = static_cast<std::size_t>(range.count);
  if (!format.nested) {
    data.entries.assign(count * element_size(format.element), std::byte{0});
    return;
  }
  const NestedFormat& nested = *format.nested;
  data.codes.assign(count, 0);
  const std::int64_t per_outer = nested.entries_per_outer;
  data.first_outer = per_outer == 0 ? 0 : range.first / per_outer;
  const std::int64_t last = per_outer == 0 ? 1 : divide_up(range.first + range.count, per_outer);
  data.outer.assign(
      static_cast<std::size_t>(std::max<std::int64_t>(last - data.first_outer, 0)) * element_size(nested.outer),
      std::byte{0});
  if (nested.code.table == TableKind::kStored) data.table.assign(std::size_t{1} << nested.code.bits, 0.0f);
}

/// value of a code as a float, before zero, scale and offset.
float code_value(const CodeFormat& code, std::uint32_t stored, std::span<const float> table) {
  switch (code.kind) {
    case CodeFormat::Kind::kInteger:
      return static_cast<float>(static_cast<std::int32_t>(stored) - code.bias);
    case CodeFormat::Kind::kTable:
      return stored < table.size() ? table[stored] : 0.0f;
    case CodeFormat::Kind::kFloat:
      switch (code.float_type) {
        case ElementType::kE4m3:
          return e4m3_to_f32(static_cast<std::uint8_t>(stored));
        case ElementType::kE5m2:
          return e5m2_to_f32(static_cast<std::uint8_t>(stored));
        case ElementType::kF4:
          return e2m1_to_f32(static_cast<std::uint8_t>(stored));
        case ElementType::kF16:
          return f16_to_f32(static_cast<std::uint16_t>(stored));
        case ElementType::kBf16:
          return bf16_to_f32(static_cast<std::uint16_t>(stored));
        default:
          return std::bit_cast<float>(stored);
      }
  }
  return 0.0f;
}

std::uint32_t load_code(const std::uint8_t* codes, std::size_t index, int code_bytes) {
  if (code_bytes == 1) return codes[index];
  if (code_bytes == 2) {
    std::uint16_t value;
    std::memcpy(&value, codes + index * 2, 2);
    return value;
  }
  std::uint32_t value;
  std::memcpy(&value, codes + index * 4, 4);
  return value;
}

/// One plane decoded to floats, looked up by weight.
class PlaneValues {
 public:
  PlaneValues() = default;
  PlaneValues(const PlaneFormat& format, const PlaneData& data, const QuantizedMatrix& m)
      : grouping_(format.grouping),
        first_(data.first_entry),
        matrix_(&m),
        values_(static_cast<std::size_t>(plane_entries_held(format, data))) {
    decode_plane(format, data, values_);
  }
  float at(std::int64_t r, std::int64_t c) const {
    return values_[static_cast<std::size_t>(
        grouping_.entry(r, c, matrix_->rows, matrix_->cols, matrix_->group_index.data()) - first_)];
  }

 private:
  Grouping grouping_;
  std::int64_t first_ = 0;
  const QuantizedMatrix* matrix_ = nullptr;
  std::vector<float> values_;
};

Status check_plane(std::string_view name, const PlaneFormat& format, const PlaneData& data, const QuantizedMatrix& m) {
  const EntryRange range = entry_range(format.grouping, m.rows, m.cols, m.row_begin, m.row_count);
  PlaneData expected;
  allocate_plane(format, range, expected);
  if (data.first_entry != expected.first_entry || data.first_outer != expected.first_outer ||
      data.entries.size() != expected.entries.size() || data.codes.size() != expected.codes.size() ||
      data.outer.size() != expected.outer.size() || data.table.size() != expected.table.size())
    return fail(ErrorCode::kCorrupt, "the {} plane does not have the size that its scheme asks for", name);
  if (format.nested && format.nested->code.kind != CodeFormat::Kind::kFloat) {
    const std::uint32_t limit = 1u << format.nested->code.bits;
    for (const std::uint8_t code : data.codes)
      if (code >= limit)
        return fail(ErrorCode::kCorrupt, "the {} plane holds the code {}, the limit is {}", name, code, limit);
  }
  return {};
}

}  // namespace

EntryRange entry_range(const Grouping& grouping, std::int64_t rows, std::int64_t cols, std::int64_t begin,
                       std::int64_t count) {
  if (count == 0) return {0, 0};
  if (grouping.kind == Grouping::Kind::kFlat) {
    const std::int64_t first = begin * cols / grouping.size;
    return {first, divide_up((begin + count) * cols, grouping.size) - first};
  }
  const std::int64_t per_row = grouping.entries_per_row(rows, cols);
  if (!grouping.row_aligned()) return {0, per_row};
  if (grouping.kind == Grouping::Kind::kBlock) {
    const std::int64_t first = begin / grouping.rows;
    return {first * per_row, (divide_up(begin + count, grouping.rows) - first) * per_row};
  }
  return {begin * per_row, count * per_row};
}

std::int64_t plane_entries_held(const PlaneFormat& format, const PlaneData& data) {
  if (format.nested) return static_cast<std::int64_t>(data.codes.size());
  return static_cast<std::int64_t>(data.entries.size() / element_size(format.element));
}

void decode_plane(const PlaneFormat& format, const PlaneData& data, std::span<float> out) {
  NIBBLE_CHECK(static_cast<std::int64_t>(out.size()) == plane_entries_held(format, data));
  if (!format.nested) {
    decode_elements(format.element, data.entries.data(), out.size(), out.data());
    return;
  }
  const NestedFormat& nested = *format.nested;
  std::vector<float> outer(data.outer.size() / element_size(nested.outer));
  decode_elements(nested.outer, data.outer.data(), outer.size(), outer.data());
  const std::span<const float> table =
      nested.code.table == TableKind::kStored ? std::span<const float>(data.table) : table_values(nested.code.table);
  for (std::size_t e = 0; e < out.size(); ++e) {
    const std::int64_t entry = data.first_entry + static_cast<std::int64_t>(e);
    const std::int64_t outer_index =
        nested.entries_per_outer == 0 ? 0 : entry / nested.entries_per_outer - data.first_outer;
    const float scale = outer[static_cast<std::size_t>(outer_index)];
    const float code = code_value(nested.code, data.codes[e], table);
    const float value = nested.outer_divides ? code / scale : scale * code;
    out[e] = nested.has_constant ? value + data.constant : value;
  }
}

void QuantizedMatrix::allocate(const QuantScheme& new_scheme, std::int64_t total_rows, std::int64_t total_cols,
                               std::int64_t begin, std::int64_t count) {
  NIBBLE_CHECK(begin >= 0 && count >= 0 && begin + count <= total_rows && total_cols >= 0);
  scheme = new_scheme;
  rows = total_rows;
  cols = total_cols;
  row_begin = begin;
  row_count = count;
  codes.assign(static_cast<std::size_t>(count * cols * scheme.code.code_bytes()), 0);
  scale = zero = offset = PlaneData{};
  if (scheme.scale) allocate_plane(*scheme.scale, entry_range(scheme.scale->grouping, rows, cols, begin, count), scale);
  if (scheme.zero_kind != ZeroKind::kNone)
    allocate_plane(scheme.zero, entry_range(scheme.zero.grouping, rows, cols, begin, count), zero);
  if (scheme.offset)
    allocate_plane(*scheme.offset, entry_range(scheme.offset->grouping, rows, cols, begin, count), offset);
  tables.clear();
  selector.clear();
  first_table = 0;
  if (scheme.code.table == TableKind::kStored) {
    const EntryRange held = entry_range(scheme.table.grouping, rows, cols, begin, count);
    first_table = held.first;
    const std::size_t table_size = std::size_t{1} << scheme.code.bits;
    const bool bank = scheme.table.bank_size > 0;
    tables.assign(
        (bank ? static_cast<std::size_t>(scheme.table.bank_size) : static_cast<std::size_t>(held.count)) * table_size,
        0.0f);
    if (bank) selector.assign(static_cast<std::size_t>(held.count), 0);
  }
  const auto indexed = [](const PlaneFormat& plane) { return plane.grouping.kind == Grouping::Kind::kIndexed; };
  const bool needs_index = (scheme.scale && indexed(*scheme.scale)) ||
                           (scheme.zero_kind != ZeroKind::kNone && indexed(scheme.zero)) ||
                           (scheme.offset && indexed(*scheme.offset));
  group_index.assign(needs_index ? static_cast<std::size_t>(cols) : 0, 0);
  allocate_supplement(*this);
}

Status QuantizedMatrix::validate() const {
  NIBBLE_TRY_STATUS(scheme.validate());
  if (rows < 0 || cols < 0 || row_begin < 0 || row_count < 0 || row_begin > rows || row_count > rows - row_begin)
    return fail(ErrorCode::kCorrupt, "rows {} to {} are not within a matrix of {} x {}", row_begin,
                row_begin + row_count, rows, cols);
  if (static_cast<std::int64_t>(codes.size()) != row_count * cols * scheme.code.code_bytes())
    return fail(ErrorCode::kCorrupt, "{} bytes of codes for {} x {} weights", codes.size(), row_count, cols);
  if (scheme.code.kind == CodeFormat::Kind::kInteger || scheme.code.kind == CodeFormat::Kind::kTable) {
    if (scheme.code.bits < 8) {
      std::uint8_t all = 0;
      for (const std::uint8_t code : codes) all |= code;
      if ((all >> scheme.code.bits) != 0)
        return fail(ErrorCode::kCorrupt, "a code does not fit in {} bits", scheme.code.bits);
    }
  }
  if (scheme.scale) NIBBLE_TRY_STATUS(check_plane("scale", *scheme.scale, scale, *this));
  if (scheme.zero_kind != ZeroKind::kNone) NIBBLE_TRY_STATUS(check_plane("zero", scheme.zero, zero, *this));
  if (scheme.offset) NIBBLE_TRY_STATUS(check_plane("offset", *scheme.offset, offset, *this));
  for (const std::uint8_t pick : selector)
    if (pick >= scheme.table.bank_size)
      return fail(ErrorCode::kCorrupt, "a table selector is {}, the bank holds {}", pick, scheme.table.bank_size);
  std::int64_t groups = INT64_MAX;
  const auto limit = [&](const PlaneFormat& plane) {
    if (plane.grouping.kind == Grouping::Kind::kIndexed) groups = std::min(groups, plane.grouping.size);
  };
  if (scheme.scale) limit(*scheme.scale);
  if (scheme.zero_kind != ZeroKind::kNone) limit(scheme.zero);
  if (scheme.offset) limit(*scheme.offset);
  if (groups != INT64_MAX && static_cast<std::int64_t>(group_index.size()) != cols)
    return fail(ErrorCode::kCorrupt, "{} group indices for {} columns", group_index.size(), cols);
  for (const std::int32_t group : group_index)
    if (group < 0 || group >= groups)
      return fail(ErrorCode::kCorrupt, "a column's group index is {}, there are {} groups", group, groups);
  return validate_supplement(*this);
}

namespace {

/// First column after `c` where row r may meet another entry of the grouping.
std::int64_t run_end(const Grouping& grouping, std::int64_t r, std::int64_t c, std::int64_t cols) {
  switch (grouping.kind) {
    case Grouping::Kind::kTensor:
    case Grouping::Kind::kRow:
      return cols;
    case Grouping::Kind::kColumns:
    case Grouping::Kind::kBlock:
      return std::min(cols, (c / grouping.size + 1) * grouping.size);
    case Grouping::Kind::kFlat:
      return std::min(cols, ((r * cols + c) / grouping.size + 1) * grouping.size - r * cols);
    case Grouping::Kind::kStrided:
    case Grouping::Kind::kIndexed:
      return c + 1;
  }
  return c + 1;
}

/// The values of `count` codes before zero, scale and offset.
void code_values(const CodeFormat& code, const std::uint8_t* codes, std::int64_t count, std::span<const float> table,
                 float* out) {
  if (code.kind == CodeFormat::Kind::kInteger) {
    for (std::int64_t i = 0; i < count; ++i)
      out[i] = static_cast<float>(static_cast<std::int32_t>(codes[i]) - code.bias);
    return;
  }
  const int code_bytes = code.code_bytes();
  for (std::int64_t i = 0; i < count; ++i)
    out[i] = code_value(code, load_code(codes, static_cast<std::size_t>(i), code_bytes), table);
}

/// The planes and tables of a matrix decoded, and one row's runs of equal entries.
class Dequantizer {
 public:
  explicit Dequantizer(const QuantizedMatrix& m) : m_(m) {
    const QuantScheme& scheme = m.scheme;
    if (scheme.scale) scale_ = PlaneValues(*scheme.scale, m.scale, m);
    if (scheme.zero_kind != ZeroKind::kNone) zero_ = PlaneValues(scheme.zero, m.zero, m);
    if (scheme.offset) offset_ = PlaneValues(*scheme.offset, m.offset, m);
  }

  void row(std::int64_t r, const std::uint8_t* codes, float* out) const {
    const int code_bytes = m_.scheme.code.code_bytes();
    for (std::int64_t c = 0; c < m_.cols;) {
      const std::int64_t end = next(r, c);
      code_values(m_.scheme.code, codes + c * code_bytes, end - c, table(r, c), out + c);
      transform(r, c, end - c, out + c);
      c = end;
    }
  }

 private:
  std::int64_t next(std::int64_t r, std::int64_t c) const {
    const QuantScheme& scheme = m_.scheme;
    std::int64_t end = m_.cols;
    if (scheme.scale) end = std::min(end, run_end(scheme.scale->grouping, r, c, m_.cols));
    if (scheme.zero_kind != ZeroKind::kNone) end = std::min(end, run_end(scheme.zero.grouping, r, c, m_.cols));
    if (scheme.offset) end = std::min(end, run_end(scheme.offset->grouping, r, c, m_.cols));
    if (scheme.code.table == TableKind::kStored) end = std::min(end, run_end(scheme.table.grouping, r, c, m_.cols));
    return end;
  }

  std::span<const float> table(std::int64_t r, std::int64_t c) const {
    const QuantScheme& scheme = m_.scheme;
    if (scheme.code.table != TableKind::kStored) return table_values(scheme.code.table);
    const std::size_t size = std::size_t{1} << scheme.code.bits;
    auto entry =
        static_cast<std::size_t>(scheme.table.grouping.entry(r, c, m_.rows, m_.cols, nullptr) - m_.first_table);
    if (!m_.selector.empty()) entry = m_.selector[entry];
    return std::span(m_.tables).subspan(entry * size, size);
  }

  /// x - zero, then scale, then post_scale, then offset: each rounded by itself.
  void transform(std::int64_t r, std::int64_t c, std::int64_t count, float* x) const {
    const QuantScheme& scheme = m_.scheme;
    if (scheme.zero_kind != ZeroKind::kNone) {
      const float zero = zero_.at(r, c);
      for (std::int64_t i = 0; i < count; ++i) x[i] -= zero;
    }
    if (scheme.scale) {
      const float s = scale_.at(r, c);
      if (scheme.scale->divides) {
        for (std::int64_t i = 0; i < count; ++i) x[i] = x[i] / s;
      } else {
        for (std::int64_t i = 0; i < count; ++i) x[i] = s * x[i];
      }
    }
    if (scheme.post_scale != 1.0f)
      for (std::int64_t i = 0; i < count; ++i) x[i] *= scheme.post_scale;
    if (scheme.offset) {
      const float offset = offset_.at(r, c);
      for (std::int64_t i = 0; i < count; ++i) x[i] += offset;
    }
  }

  const QuantizedMatrix& m_;
  PlaneValues scale_;
  PlaneValues zero_;
  PlaneValues offset_;
};

}  // namespace

void dequantize(const QuantizedMatrix& m, float* out) {
  const QuantScheme& scheme = m.scheme;
  if (scheme.is_float() && !scheme.scale && !scheme.offset) {
    decode_elements(scheme.code.float_type, reinterpret_cast<const std::byte*>(m.codes.data()),
                    static_cast<std::size_t>(m.row_count * m.cols), out);
    return;
  }
  const Dequantizer dequantizer(m);
  const std::int64_t row_bytes = m.cols * scheme.code.code_bytes();
  const SupplementValues supplement(m);
  for (std::int64_t row = 0; row < m.row_count; ++row) {
    dequantizer.row(m.row_begin + row, m.codes.data() + row * row_bytes, out + row * m.cols);
    supplement.add_to_row(row, out + row * m.cols);
  }
}

namespace {

/// A whole QuantizedMatrix served row range by row range.
class OwnedMatrix final : public MatrixSource {
 public:
  explicit OwnedMatrix(QuantizedMatrix matrix) : matrix_(std::move(matrix)) {}
  const QuantScheme& scheme() const override { return matrix_.scheme; }
  std::int64_t rows() const override { return matrix_.rows; }
  std::int64_t cols() const override { return matrix_.cols; }
  std::int64_t row_step() const override { return step_of(matrix_.scheme); }

  Status decode(std::int64_t begin, std::int64_t count, QuantizedMatrix& out) const override {
    out.allocate(matrix_.scheme, matrix_.rows, matrix_.cols, begin, count);
    const auto row_bytes = static_cast<std::size_t>(matrix_.cols * matrix_.scheme.code.code_bytes());
    if (!out.codes.empty())
      std::memcpy(out.codes.data(), matrix_.codes.data() + static_cast<std::size_t>(begin) * row_bytes,
                  out.codes.size());
    if (matrix_.scheme.scale) copy_plane(*matrix_.scheme.scale, matrix_.scale, out.scale);
    if (matrix_.scheme.zero_kind != ZeroKind::kNone) copy_plane(matrix_.scheme.zero, matrix_.zero, out.zero);
    if (matrix_.scheme.offset) copy_plane(*matrix_.scheme.offset, matrix_.offset, out.offset);
    if (!out.tables.empty()) {
      const std::size_t table_size = std::size_t{1} << matrix_.scheme.code.bits;
      const std::size_t first = matrix_.selector.empty() ? static_cast<std::size_t>(out.first_table) * table_size : 0;
      std::copy_n(matrix_.tables.begin() + static_cast<std::ptrdiff_t>(first), out.tables.size(), out.tables.begin());
      if (!out.selector.empty())
        std::copy_n(matrix_.selector.begin() + out.first_table, out.selector.size(), out.selector.begin());
    }
    out.group_index = matrix_.group_index;
    copy_supplement_rows(matrix_, out);
    return {};
  }

 private:
  static std::int64_t step_of(const QuantScheme& scheme) {
    std::int64_t step = 1;
    const auto widen = [&](const PlaneFormat& plane) {
      if (plane.grouping.kind == Grouping::Kind::kBlock) step = std::max(step, plane.grouping.rows);
    };
    if (scheme.scale) widen(*scheme.scale);
    if (scheme.zero_kind != ZeroKind::kNone) widen(scheme.zero);
    if (scheme.offset) widen(*scheme.offset);
    return step;
  }

  static void copy_plane(const PlaneFormat& format, const PlaneData& from, PlaneData& to) {
    const auto slice = [](const auto& source, auto& target, std::int64_t first, std::size_t unit) {
      if (!target.empty())
        std::memcpy(target.data(), source.data() + static_cast<std::size_t>(first) * unit, target.size());
    };
    const std::size_t entry_bytes = static_cast<std::size_t>(element_info(format.element).bits) / 8;
    slice(from.entries, to.entries, to.first_entry, entry_bytes);
    slice(from.codes, to.codes, to.first_entry, 1);
    if (format.nested)
      slice(from.outer, to.outer, to.first_outer,
            static_cast<std::size_t>(element_info(format.nested->outer).bits) / 8);
    to.table = from.table;
    to.constant = from.constant;
  }

  QuantizedMatrix matrix_;
};

}  // namespace

MatrixPtr make_source(QuantizedMatrix matrix) {
  NIBBLE_CHECK(matrix.row_begin == 0 && matrix.row_count == matrix.rows);
  return std::make_shared<OwnedMatrix>(std::move(matrix));
}

}  // namespace nibble
