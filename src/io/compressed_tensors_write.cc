// Quantized matrices to the tensors of compressed-tensors, in the layout of library versions from 0.17 on.
#include "io/compressed_tensors_write.h"

#include <cstring>

#include "io/bit_packing.h"
#include "io/compressed_tensors_config.h"
#include "io/stored_matrix.h"

namespace nibble {
namespace {

std::size_t element_size(ElementType type) { return static_cast<std::size_t>(element_info(type).bits) / 8; }

/// Extents of the scale tensor.
std::vector<std::int64_t> scale_shape(const Grouping& grouping, std::int64_t rows, std::int64_t cols) {
  if (grouping.kind == Grouping::Kind::kTensor) return {1};
  const std::int64_t per_row = grouping.entries_per_row(rows, cols);
  return {grouping.entries(rows, cols) / per_row, per_row};
}

/// Zero points of a packed tensor with one of them stay one per byte, as the library leaves them.
bool packs_zero(const QuantScheme& scheme) {
  return scheme.zero_kind == ZeroKind::kInteger && scheme.zero.grouping.kind != Grouping::Kind::kTensor;
}

/// Entry e of the zero plane as the field that is stored: excess 2^(bits-1), like the codes.
Result<std::uint8_t> zero_field(const QuantizedMatrix& m, std::int64_t held_entry) {
  std::int16_t zero;
  std::memcpy(&zero, m.zero.entries.data() + held_entry * 2, 2);
  const int field = zero + m.scheme.code.bias;
  if (field < 0 || field >= 1 << m.scheme.code.bits)
    return fail(ErrorCode::kInvalidArgument, "the zero point {} does not fit in {} bits", field, m.scheme.code.bits);
  return static_cast<std::uint8_t>(field);
}

/// Zero points packed down the rows: word row w of group column g holds bits [32 w, 32 w + 32) of the column's stream.
Status write_packed_zeros(const QuantizedMatrix& m, std::size_t index, const EncodedSink& sink) {
  const int bits = m.scheme.code.bits;
  const std::int64_t groups = m.scheme.zero.grouping.entries_per_row(m.rows, m.cols);
  const std::size_t word_rows = packed_word_bytes(static_cast<std::uint64_t>(m.row_count), bits) / 4;
  std::vector<std::byte> words(word_rows * static_cast<std::size_t>(groups) * 4);
  std::vector<std::uint8_t> column(static_cast<std::size_t>(m.row_count));
  std::vector<std::byte> stream(word_rows * 4);
  for (std::int64_t g = 0; g < groups; ++g) {
    for (std::int64_t r = 0; r < m.row_count; ++r) {
      NIBBLE_TRY(column[static_cast<std::size_t>(r)], zero_field(m, r * groups + g));
    }
    pack_bits(column.data(), bits, column.size(), stream.data());
    for (std::size_t w = 0; w < word_rows; ++w)
      std::memcpy(words.data() + (w * static_cast<std::size_t>(groups) + static_cast<std::size_t>(g)) * 4,
                  stream.data() + 4 * w, 4);
  }
  const std::int64_t first_word_row = m.row_begin / 32 * bits;
  return sink(index, static_cast<std::uint64_t>(first_word_row * groups) * 4, words);
}

Status write_byte_zeros(const QuantizedMatrix& m, std::size_t index, const EncodedSink& sink) {
  const EntryRange owned = owned_entries(m.scheme.zero.grouping, m.rows, m.cols, m.row_begin, m.row_count);
  if (owned.count == 0) return {};
  std::vector<std::byte> bytes(static_cast<std::size_t>(owned.count));
  for (std::int64_t e = 0; e < owned.count; ++e) {
    NIBBLE_TRY(const std::uint8_t field, zero_field(m, owned.first - m.zero.first_entry + e));
    bytes[static_cast<std::size_t>(e)] = static_cast<std::byte>(field - (1 << (m.scheme.code.bits - 1)));
  }
  return sink(index, static_cast<std::uint64_t>(owned.first), bytes);
}

Status write_scales(const QuantizedMatrix& m, std::size_t index, const EncodedSink& sink) {
  const PlaneFormat& format = *m.scheme.scale;
  const EntryRange owned = owned_entries(format.grouping, m.rows, m.cols, m.row_begin, m.row_count);
  if (owned.count == 0) return {};
  const std::size_t size = format.nested ? 1 : element_size(format.element);
  const std::byte* held =
      format.nested ? reinterpret_cast<const std::byte*>(m.scale.codes.data()) : m.scale.entries.data();
  return sink(index, static_cast<std::uint64_t>(owned.first) * size,
              {held + static_cast<std::size_t>(owned.first - m.scale.first_entry) * size,
               static_cast<std::size_t>(owned.count) * size});
}

Status write_codes(const QuantizedMatrix& m, CtLayout layout, const EncodedSink& sink) {
  const auto cols = static_cast<std::size_t>(m.cols);
  const bool packed = layout == CtLayout::kPack || layout == CtLayout::kNvfp4 || layout == CtLayout::kMxfp4;
  if (!packed) {
    const auto offset = static_cast<std::uint64_t>(m.row_begin) * cols;
    if (layout != CtLayout::kInteger) return sink(0, offset, std::as_bytes(std::span(m.codes)));
    std::vector<std::byte> bytes(m.codes.size());
    const int half = 1 << (m.scheme.code.bits - 1);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(m.codes[i] - half);
    return sink(0, offset, bytes);
  }
  const int bits = m.scheme.code.bits;
  const std::size_t row_bytes = layout == CtLayout::kPack ? packed_word_bytes(cols, bits) : packed_bytes(cols, bits);
  std::vector<std::byte> bytes(row_bytes * static_cast<std::size_t>(m.row_count));
  for (std::size_t r = 0; r < static_cast<std::size_t>(m.row_count); ++r)
    pack_bits(m.codes.data() + r * cols, bits, cols, bytes.data() + r * row_bytes);
  return sink(0, static_cast<std::uint64_t>(m.row_begin) * row_bytes, bytes);
}

/// Each group must have the same number of columns: readers sort the columns by group and cut at equal lengths.
Status write_group_index(const QuantizedMatrix& m, std::size_t index, const EncodedSink& sink) {
  const std::int64_t groups = m.scheme.scale->grouping.size;
  std::vector<std::int64_t> columns(static_cast<std::size_t>(groups), 0);
  for (const std::int32_t group : m.group_index) ++columns[static_cast<std::size_t>(group)];
  for (const std::int64_t count : columns)
    if (count != m.cols / groups)
      return fail(ErrorCode::kInvalidArgument,
                  "a group of {} columns among groups of {}; compressed-tensors needs equal groups", count,
                  m.cols / groups);
  return sink(index, 0, std::as_bytes(std::span(m.group_index)));
}

}  // namespace

Status ct_can_express(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols) {
  (void)rows;
  const std::optional<CtLayout> layout = ct_layout_of(scheme);
  if (!layout)
    return fail(ErrorCode::kUnsupported,
                "compressed-tensors cannot hold {}: it has integers around 2^(bits-1) or with zero points grouped like "
                "the scales, FP8 E4M3, NVFP4, MXFP4 and MXFP8, with scales of F16, BF16 or F32",
                to_string(scheme));
  const Grouping& grouping = scheme.scale->grouping;
  if (grouping.kind == Grouping::Kind::kColumns && cols % grouping.size != 0)
    return fail(ErrorCode::kUnsupported, "compressed-tensors needs groups of equal size: {} columns in groups of {}",
                cols, grouping.size);
  if (grouping.kind == Grouping::Kind::kIndexed && cols % grouping.size != 0)
    return fail(ErrorCode::kUnsupported, "compressed-tensors needs groups of equal size: {} columns in {} groups", cols,
                grouping.size);
  return {};
}

Result<std::vector<EncodedPlan>> ct_plan(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols,
                                         const std::string& module) {
  NIBBLE_TRY_STATUS(ct_can_express(scheme, rows, cols));
  const CtLayout layout = *ct_layout_of(scheme);
  const Grouping& grouping = scheme.scale->grouping;
  const std::vector<std::int64_t> groups = scale_shape(grouping, rows, cols);
  std::vector<EncodedPlan> plan;
  const auto add = [&](std::string_view suffix, std::vector<std::int64_t> shape, ElementType element) {
    plan.push_back({module + std::string(suffix), std::move(shape), element, -1});
  };
  const int bits = scheme.code.bits;
  const auto words = [bits](std::int64_t count) {
    return static_cast<std::int64_t>(packed_word_bytes(static_cast<std::uint64_t>(count), bits) / 4);
  };
  switch (layout) {
    case CtLayout::kPack:
      add(".weight_packed", {rows, words(cols)}, ElementType::kI32);
      break;
    case CtLayout::kNvfp4:
    case CtLayout::kMxfp4:
      add(".weight_packed", {rows, cols / 2}, ElementType::kU8);
      break;
    case CtLayout::kInteger:
      add(".weight", {rows, cols}, ElementType::kI8);
      break;
    default:
      add(".weight", {rows, cols}, ElementType::kE4m3);
  }
  const bool mx = layout == CtLayout::kMxfp4 || layout == CtLayout::kMxfp8;
  add(".weight_scale", groups,
      layout == CtLayout::kNvfp4 ? ElementType::kE4m3
      : mx                       ? ElementType::kU8
                                 : scheme.scale->element);
  if (layout == CtLayout::kNvfp4) add(".weight_global_scale", {1}, ElementType::kF32);
  if (scheme.zero_kind == ZeroKind::kInteger) {
    if (layout == CtLayout::kPack && packs_zero(scheme))
      add(".weight_zero_point", {words(rows), groups.back()}, ElementType::kI32);
    else
      add(".weight_zero_point", groups, ElementType::kI8);
  }
  if (grouping.kind == Grouping::Kind::kIndexed) add(".weight_g_idx", {cols}, ElementType::kI32);
  if (layout == CtLayout::kPack) add(".weight_shape", {2}, ElementType::kI64);
  return plan;
}

Status ct_encode(const QuantizedMatrix& m, const std::string& module, const EncodedSink& sink) {
  (void)module;
  const CtLayout layout = *ct_layout_of(m.scheme);
  NIBBLE_TRY_STATUS(write_codes(m, layout, sink));
  NIBBLE_TRY_STATUS(write_scales(m, 1, sink));
  std::size_t next = 2;
  const bool first = m.row_begin == 0;
  if (layout == CtLayout::kNvfp4) {
    if (first) NIBBLE_TRY_STATUS(sink(next, 0, m.scale.outer));
    ++next;
  }
  if (m.scheme.zero_kind == ZeroKind::kInteger) {
    const bool packed = layout == CtLayout::kPack && packs_zero(m.scheme);
    NIBBLE_TRY_STATUS(packed ? write_packed_zeros(m, next, sink) : write_byte_zeros(m, next, sink));
    ++next;
  }
  if (m.scheme.scale->grouping.kind == Grouping::Kind::kIndexed) {
    if (first) NIBBLE_TRY_STATUS(write_group_index(m, next, sink));
    ++next;
  }
  if (layout == CtLayout::kPack && first) {
    const std::int64_t shape[2] = {m.rows, m.cols};
    NIBBLE_TRY_STATUS(sink(next, 0, std::as_bytes(std::span(shape))));
  }
  return {};
}

std::int64_t ct_encode_row_step(const QuantScheme& scheme) {
  if (scheme.scale && scheme.scale->grouping.kind == Grouping::Kind::kBlock) return scheme.scale->grouping.rows;
  return packs_zero(scheme) ? 32 : 1;  // zero points fill words down the rows
}

}  // namespace nibble
