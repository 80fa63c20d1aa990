// One list of fields serves writing and reading; reading then checks all that kernels rely on.
#include "kernel/matmul/packed_image.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>

#include "base/byte_reader.h"
#include "kernel/matmul/packed_access.h"
#include "kernel/matmul/packed_storage.h"
#include "kernel/matmul/panel_geometry.h"

namespace nibble::kernel {
namespace {

static_assert(std::endian::native == std::endian::little, "images are in the order of a little-endian machine");

class Writer {
 public:
  template <typename T>
  void operator()(const T& value) {
    static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
    append(&value, sizeof(T));
  }
  template <typename T>
  void operator()(const std::vector<T>& values) {
    (*this)(static_cast<std::uint64_t>(values.size()));
    append(values.data(), values.size() * sizeof(T));
  }
  void operator()(const std::string& text) {
    (*this)(static_cast<std::uint64_t>(text.size()));
    append(text.data(), text.size());
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  void append(const void* data, std::size_t size) {
    const auto* from = static_cast<const std::byte*>(data);
    bytes_.insert(bytes_.end(), from, from + size);
  }
  std::vector<std::byte> bytes_;
};

/// Reads what Writer wrote; after the first error everything reads as zero or empty.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : reader_(bytes, "packed matrix") {}
  template <typename T>
  void operator()(T& value) {
    using Raw = typename std::conditional_t<std::is_enum_v<T>, std::underlying_type<T>, std::type_identity<T>>::type;
    if constexpr (std::is_same_v<Raw, bool>) {
      std::uint8_t byte = 0;
      (*this)(byte);
      if (byte > 1) ok_ = false;
      value = byte == 1;
    } else {
      const Result<Raw> read = reader_.read<Raw>("field");
      ok_ = ok_ && read.ok();
      value = static_cast<T>(ok_ ? *read : Raw{});
    }
  }
  template <typename T>
  void operator()(std::vector<T>& values) {
    const std::span<const std::byte> bytes = counted(sizeof(T));
    values.resize(bytes.size() / sizeof(T));
    if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  }
  void operator()(std::string& text) {
    const std::span<const std::byte> bytes = counted(1);
    text.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  /// All was there, and nothing else.
  bool complete() const { return ok_ && reader_.remaining() == 0; }

 private:
  std::span<const std::byte> counted(std::size_t size) {
    std::uint64_t count = 0;
    (*this)(count);
    if (!ok_ || count > reader_.remaining() / size) {
      ok_ = false;
      return {};
    }
    return reader_.read_bytes(count * size, "array").value();
  }
  ByteReader reader_;
  bool ok_ = true;
};

template <typename Fields, typename Plane>
void plane_fields(Fields& field, Plane& p) {
  field(p.kind);
  field(p.outer_kind);
  field(p.outer_divides);
  field(p.has_constant);
  field(p.constant);
  field(p.group);
  field(p.outer_group);
}

template <typename Fields, typename Plane>
void generic_plane_fields(Fields& field, Plane& p) {
  field(p.kind);
  field(p.size);
  field(p.block_rows);
  field(p.entries_per_row);
}

/// Every field that is not derived from others; S is Storage or const Storage.
template <typename Fields, typename S>
void all_fields(Fields& field, S& s) {
  field(s.view.rows);
  field(s.view.cols);
  field(s.view.layout);
  field(s.view.has_int8);
  field(s.view.bias);
  field(s.view.post_scale);
  field(s.view.table_index_group);
  plane_fields(field, s.view.scale);
  plane_fields(field, s.view.zero);
  plane_fields(field, s.view.offset);
  field(s.view.int_bias);
  field(s.view.int_scale);
  field(s.view.fold);
  field(s.name);
  field(s.table);
  field(s.tables);
  field(s.int_table);
  field(s.int_table_high);
  for (auto& lut : s.luts) field(lut);
  field(s.column_order);
  field(s.generic.bits);
  field(s.generic.table_shift);
  field(s.generic.scale_divides);
  for (auto* plane : {&s.generic.table, &s.generic.scale, &s.generic.zero, &s.generic.offset})
    generic_plane_fields(field, *plane);
  for (auto& plane : s.generic_planes) field(plane);
  field(s.selector);
  field(s.group_index);
  field(s.supplement.cols);
  field(s.supplement.rank);
  field(s.supplement.columns);
  field(s.supplement.kept);
  field(s.supplement.left);
  field(s.supplement.right);
}

Error refused(const char* what) {
  return fail(ErrorCode::kCorrupt, "packed matrix: {} is not what a matrix has", what);
}

template <typename T>
bool all_below(const std::vector<T>& values, std::int64_t limit) {
  return std::all_of(values.begin(), values.end(), [&](T value) {
    return static_cast<std::int64_t>(value) >= 0 && static_cast<std::int64_t>(value) < limit;
  });
}

bool is_plane(const PlaneView& p, const std::vector<float>& lut) {
  if (p.kind > PlaneKind::kLut || lut.size() != (p.kind == PlaneKind::kLut ? 256u : 0u)) return false;
  if (p.kind == PlaneKind::kNone) return true;
  constexpr std::int64_t kLargest = std::int64_t{1} << 31;
  if (p.group < 16 || p.group % 16 != 0 || p.group > kLargest) return false;
  if (!is_nested(p.kind)) return true;
  return (p.outer_kind == PlaneKind::kF16 || p.outer_kind == PlaneKind::kF32) && p.outer_group >= p.group &&
         p.outer_group % p.group == 0 && p.outer_group <= kLargest;
}

bool is_order(const std::vector<std::int32_t>& order, std::int64_t cols) {
  if (order.empty()) return true;
  if (order.size() != static_cast<std::size_t>(cols) || !all_below(order, cols)) return false;
  std::vector<bool> seen(order.size());
  for (const std::int32_t c : order) seen[static_cast<std::size_t>(c)] = true;
  return std::find(seen.begin(), seen.end(), false) == seen.end();
}

/// Tables of integer layouts, as kernels look codes up in them.
bool has_right_tables(const PackedMatrix::Storage& s) {
  const PackedView& v = s.view;
  if (!is_integer_layout(v.layout))
    return !v.has_int8 && v.table_index_group == 0 && s.table.empty() && s.tables.empty() && s.int_table.empty() &&
           s.int_table_high.empty();
  const BitPlanes planes = bit_planes(v.layout);
  const int bits = planes.bits[0] + planes.bits[1];
  const std::size_t values = std::size_t{1} << bits;
  if (v.table_index_group != 0) {
    if (v.table_index_group < 16 || v.table_index_group % 16 != 0 || v.has_int8 || !s.table.empty()) return false;
    if (s.tables.empty() || s.tables.size() % values != 0) return false;
  } else {
    if (!s.tables.empty() || (bits <= 4 && s.table.empty())) return false;
    if (!s.table.empty() && s.table.size() < std::max<std::size_t>(values, 16)) return false;
  }
  if (!s.int_table.empty() && (s.int_table.size() != 16 || bits > 4)) return false;
  if (!s.int_table_high.empty() && (s.int_table_high.size() != 16 || s.int_table.empty())) return false;
  return !(v.has_int8 && v.zero.kind != PlaneKind::kNone && v.offset.kind != PlaneKind::kNone);
}

/// The numbers of tables, which lie in the panels.
bool has_right_table_numbers(const PackedMatrix::Storage& s) {
  const PackedView& v = s.view;
  if (v.table_index_group == 0) return true;
  const BitPlanes planes = bit_planes(v.layout);
  const auto count = static_cast<std::int64_t>(s.tables.size() >> (planes.bits[0] + planes.bits[1]));
  const std::int64_t chunks = divide_up(divide_up(v.cols, kBlockCols), v.chunk_blocks);
  const std::int64_t entries = kPanelRows * entries_per_chunk(v, v.table_index_group);
  const std::span<const std::uint8_t> panels = s.panel_bytes();
  for (std::int64_t p = 0; p < divide_up(v.rows, kPanelRows); ++p)
    for (std::int64_t c = 0; c < chunks; ++c)
      for (std::int64_t e = 0; e < entries; ++e) {
        const std::uint8_t* numbers = panels.data() + p * v.panel_bytes + c * v.chunk_bytes + v.table_index_position;
        const auto number = load_as<std::int32_t>(numbers + 4 * e);
        if (number < 0 || number >= count) return false;
      }
  return true;
}

/// Places everything and attaches panels and tables; kernels can then use the view.
Status attach_panels(PackedMatrix::Storage& s, std::span<const std::byte> panels) {
  PackedView& v = s.view;
  const std::array<PlaneView*, 3> planes{&v.scale, &v.zero, &v.offset};
  for (std::size_t i = 0; i < 3; ++i) {
    if (!is_plane(*planes[i], s.luts[i])) return refused("a plane");
    planes[i]->lut = s.luts[i].empty() ? nullptr : s.luts[i].data();
    if (planes[i]->kind != PlaneKind::kNone && planes[i]->group % kBlockCols != 0 && v.fold != 16)
      return refused("the fold");
  }
  if (v.fold != 16 && v.fold != 32) return refused("the fold");
  if (!has_right_tables(s)) return refused("a table");
  place_panel(v);
  if (panels.size() !=
      static_cast<std::uint64_t>(divide_up(v.rows, kPanelRows)) * static_cast<std::uint64_t>(v.panel_bytes))
    return refused("the size of the panels");
  v.data = s.mapped_panels.data();
  v.table = s.table.empty() ? nullptr : s.table.data();
  v.tables = s.tables.empty() ? nullptr : s.tables.data();
  v.int_table = s.int_table.empty() ? nullptr : s.int_table.data();
  v.int_table_high = s.int_table_high.empty() ? nullptr : s.int_table_high.data();
  if (!has_right_table_numbers(s)) return refused("the number of a table");
  return {};
}

/// Entries that a plane of the generic layout must have; -1 when it cannot be.
std::int64_t generic_entries(const GenericPlane& p, std::int64_t rows, std::int64_t cols) {
  using Kind = GenericPlane::Kind;
  constexpr std::int64_t kLargest = std::int64_t{1} << 31;
  const bool sized =
      p.kind == Kind::kColumns || p.kind == Kind::kBlock || p.kind == Kind::kFlat || p.kind == Kind::kIndexed;
  if (sized && (p.size < 1 || p.size > kLargest)) return -1;
  switch (p.kind) {
    case Kind::kNone:
      return 0;
    case Kind::kTensor:
      return 1;
    case Kind::kRow:
      return rows;
    case Kind::kColumns:
      return p.entries_per_row == divide_up(cols, p.size) ? rows * p.entries_per_row : -1;
    case Kind::kBlock:
      if (p.block_rows < 1 || p.block_rows > kLargest) return -1;
      return p.entries_per_row == divide_up(cols, p.size) ? divide_up(rows, p.block_rows) * p.entries_per_row : -1;
    case Kind::kFlat:
      return divide_up(rows * cols, p.size);
    case Kind::kStrided:
      return p.entries_per_row >= 1 && p.entries_per_row <= rows * cols ? p.entries_per_row : -1;
    case Kind::kIndexed:
      return rows * p.size;
  }
  return -1;
}

bool has_right_codes(const PackedMatrix::Storage& s) {
  const GenericView& g = s.generic;
  if (g.table_shift >= g.bits) return true;
  const auto highest = static_cast<std::uint8_t>((1u << g.table_shift) - 1u);
  const auto mask = static_cast<std::uint8_t>((1u << g.bits) - 1u);
  for (const std::uint8_t byte : s.panel_bytes())
    for (int shift = 0; shift < 8; shift += g.bits)
      if (((byte >> shift) & mask) > highest) return false;
  return true;
}

Status attach_generic(PackedMatrix::Storage& s, std::span<const std::byte> panels) {
  const std::int64_t rows = s.view.rows;
  const std::int64_t cols = s.view.cols;
  GenericView& g = s.generic;
  if (s.view.has_int8) return refused("the arithmetic");
  if (g.bits != 1 && g.bits != 2 && g.bits != 4 && g.bits != 8) return refused("the width of codes");
  if (g.table_shift < 1 || g.table_shift > 8) return refused("the size of tables");
  g.row_bytes = (cols * g.bits + 7) / 8;
  if (panels.size() != static_cast<std::uint64_t>(rows * g.row_bytes)) return refused("the size of the codes");
  g.codes = s.mapped_panels.data();
  if (!has_right_codes(s)) return refused("a code");
  GenericPlane* const planes[] = {&g.scale, &g.zero, &g.offset};
  bool indexed = false;
  for (std::size_t i = 0; i < 3; ++i) {
    const std::int64_t entries = generic_entries(*planes[i], rows, cols);
    if (entries < 0 || s.generic_planes[i].size() != static_cast<std::size_t>(entries)) return refused("a plane");
    planes[i]->values = s.generic_planes[i].data();
    if (planes[i]->kind != GenericPlane::Kind::kIndexed) continue;
    indexed = true;
    if (!all_below(s.group_index, planes[i]->size)) return refused("a group index");
  }
  if (s.group_index.size() != static_cast<std::size_t>(cols) && (indexed || !s.group_index.empty()))
    return refused("the group index");
  g.group_index = s.group_index.data();
  const std::int64_t entries = generic_entries(g.table, rows, cols);
  const auto tables = static_cast<std::int64_t>(s.tables.size() >> g.table_shift);
  if (entries < 0 || tables < 1 || g.table.kind == GenericPlane::Kind::kIndexed) return refused("a table");
  g.tables = s.tables.data();
  if (s.selector.empty()) {
    if (tables < entries) return refused("the number of tables");
  } else {
    if (s.selector.size() != static_cast<std::size_t>(entries) || !all_below(s.selector, tables))
      return refused("the number of a table");
    g.selector = s.selector.data();
  }
  s.view.generic = &g;
  return {};
}

bool is_supplement(const SupplementValues& s, std::int64_t rows, std::int64_t cols) {
  if (s.empty()) return s.kept.empty() && s.left.empty() && s.right.empty();
  return s.cols == cols && s.rank >= 0 && s.rank <= kMaxSupplementRank && all_below(s.columns, cols) &&
         s.kept.size() == static_cast<std::size_t>(rows) * s.columns.size() &&
         s.left.size() == static_cast<std::size_t>(rows * s.rank) &&
         s.right.size() == static_cast<std::size_t>(s.rank * cols);
}

}  // namespace

std::vector<std::byte> describe_packed(const PackedMatrix& matrix) {
  Writer writer;
  all_fields(writer, matrix.storage());
  return writer.take();
}

std::span<const std::byte> packed_panels(const PackedMatrix& matrix) {
  return std::as_bytes(matrix.storage().panel_bytes());
}

Result<PackedMatrix> packed_from_image(std::span<const std::byte> description, std::span<const std::byte> panels,
                                       std::shared_ptr<const void> owner, std::int64_t rows, std::int64_t cols) {
  auto storage = std::make_unique<PackedMatrix::Storage>();
  PackedMatrix::Storage& s = *storage;
  Reader reader(description);
  all_fields(reader, s);
  if (!reader.complete()) return refused("the size of the description");
  constexpr std::int64_t kMost = std::int64_t{1} << 31;
  if (s.view.rows != rows || s.view.cols != cols || rows < 0 || cols < 0 || rows > kMost || cols > kMost)
    return refused("the shape");
  if (s.view.layout > Layout::kGeneric) return refused("the layout");
  if (!is_order(s.column_order, cols)) return refused("the order of columns");
  if (!is_supplement(s.supplement, rows, cols)) return refused("the supplement");
  if (reinterpret_cast<std::uintptr_t>(panels.data()) % kPanelAlignment != 0) return refused("the panels' alignment");
  s.mapped_panels = {reinterpret_cast<const std::uint8_t*>(panels.data()), panels.size()};
  s.mapping = std::move(owner);
  NIBBLE_TRY_STATUS(s.view.layout == Layout::kGeneric ? attach_generic(s, panels) : attach_panels(s, panels));
  return PackedMatrix(std::move(storage));
}

PanelRange panel_range(const PackedMatrix& matrix, std::int64_t row_begin, std::int64_t row_end) {
  const PackedView& v = matrix.view();
  const bool generic = v.layout == Layout::kGeneric;
  const auto unit = static_cast<std::size_t>(generic ? v.generic->row_bytes : v.panel_bytes);
  const auto begin = static_cast<std::size_t>(generic ? row_begin : row_begin / kPanelRows);
  const auto end = static_cast<std::size_t>(generic ? row_end : divide_up(row_end, kPanelRows));
  return {begin * unit, (end - begin) * unit};
}

}  // namespace nibble::kernel
