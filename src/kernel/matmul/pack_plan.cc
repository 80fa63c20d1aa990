// Choosing the layout of a matrix. What does not fit panels (odd group sizes, dividing scales, HQQ's axis 0, irregular
// g_idx) goes generic.
#include "kernel/matmul/pack_plan.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernel/matmul/packed_access.h"

namespace nibble::kernel {
namespace {

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// A bias times the sum of 32 int8 activations stays within int32.
constexpr int kLargestBias = 1 << 16;

/// Columns of a row that share an entry, at multiples of which every row may be cut; the padded row when all do. 0 when
/// the grouping is not regular along columns. For kIndexed, the size of each group after sorting.
std::int64_t column_group(const Grouping& g, std::int64_t cols, std::int64_t indexed_group) {
  const std::int64_t whole = divide_up(cols, kBlockCols) * kBlockCols;
  std::int64_t size = 0;
  switch (g.kind) {
    case Grouping::Kind::kTensor:
    case Grouping::Kind::kRow:
      return whole;
    case Grouping::Kind::kColumns:
    case Grouping::Kind::kBlock:
      size = g.size;
      break;
    case Grouping::Kind::kFlat:
      if (g.size % cols == 0) return whole;
      size = std::gcd(g.size, cols);
      break;
    case Grouping::Kind::kIndexed:
      size = indexed_group;
      break;
    case Grouping::Kind::kStrided:
      return 0;
  }
  if (size >= cols) return whole;
  return size % 16 == 0 ? size : 0;
}

/// The order that sorts columns by group, and the common group size; 0 when groups differ in size (but for a short
/// last).
std::int64_t sort_columns(const std::vector<std::int32_t>& index, std::vector<std::int32_t>& order) {
  order.resize(index.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return index[static_cast<std::size_t>(a)] < index[static_cast<std::size_t>(b)];
  });
  std::size_t size = 0;
  while (size < order.size() && index[static_cast<std::size_t>(order[size])] == 0) ++size;
  if (size == 0) return 0;
  for (std::size_t i = 0; i < order.size(); ++i)
    if (index[static_cast<std::size_t>(order[i])] != static_cast<std::int32_t>(i / size)) return 0;
  if (std::is_sorted(order.begin(), order.end())) order.clear();
  return static_cast<std::int64_t>(size);
}

/// A nested plane's codes as int8 times a power of two, or a table of 256 floats.
void plan_nested_codes(const NestedFormat& nested, const PlaneData& data, PlanePlan& plan) {
  const std::vector<float> values = code_values(nested.code, data.table);
  const bool integers = nested.code.kind == CodeFormat::Kind::kInteger && !nested.outer_divides;
  const int lowest = -nested.code.bias;
  const int highest = (1 << nested.code.bits) - 1 - nested.code.bias;
  plan.view.kind = PlaneKind::kI8;
  if (integers && lowest >= -128 && highest <= 127) {
    plan.code_shift = lowest;
  } else if (!nested.outer_divides && nested.code.table == TableKind::kHalfStep) {
    plan.code_step = 2;
    plan.code_shift = 1;
    plan.outer_factor = 0.5f;
  } else if (!nested.outer_divides && nested.code.table == TableKind::kOdd) {
    plan.code_step = 2;
    plan.code_shift = 1;
  } else {
    plan.view.kind = PlaneKind::kLut;
    plan.lut.assign(256, 0.0f);
    std::copy(values.begin(), values.end(), plan.lut.begin());
  }
}

/// Columns that share an outer scale; 0 when outer scales change within rows at other places than multiples of it.
std::int64_t outer_group(const PlaneFormat& format, std::int64_t rows, std::int64_t cols, std::int64_t group,
                         std::int64_t whole) {
  const std::int64_t per_outer = format.nested->entries_per_outer;
  if (per_outer == 0) return whole;
  const Grouping& g = format.grouping;
  std::int64_t per_row = g.entries_per_row(rows, cols);
  if (g.kind == Grouping::Kind::kFlat) {
    if (cols % g.size != 0) return 0;
    per_row = cols / g.size;
  } else if (!g.row_aligned()) {
    return 0;
  }
  if (per_outer % per_row == 0) return whole;
  return per_row % per_outer == 0 && group < whole ? per_outer * group : 0;
}

PlaneKind plain_kind(ElementType type) {
  switch (type) {
    case ElementType::kF16:
      return PlaneKind::kF16;
    case ElementType::kBf16:
      return PlaneKind::kBf16;
    case ElementType::kE8m0:
      return PlaneKind::kE8m0;
    default:
      return PlaneKind::kF32;
  }
}

/// Nothing when the plane is not regular.
std::optional<PlanePlan> plan_plane(const PlaneFormat& format, const PlaneData& data, const QuantizedMatrix& m,
                                    std::int64_t indexed_group) {
  const std::int64_t whole = divide_up(m.cols, kBlockCols) * kBlockCols;
  PlanePlan plan;
  plan.format = format;
  plan.view.group = column_group(format.grouping, m.cols, indexed_group);
  if (plan.view.group == 0 || format.divides) return std::nullopt;
  if (!format.nested) {
    plan.view.kind = plain_kind(format.element);
    plan.raw = plan.view.kind != PlaneKind::kF32 || format.element == ElementType::kF32;
    return plan;
  }
  const NestedFormat& nested = *format.nested;
  plan.view.outer_group = outer_group(format, m.rows, m.cols, plan.view.group, whole);
  if (plan.view.outer_group == 0) {
    plan.view.kind = PlaneKind::kF32;
    return plan;
  }
  plan.nested = true;
  plan.view.outer_divides = nested.outer_divides;
  plan.view.has_constant = nested.has_constant;
  plan.view.constant = data.constant;
  plan_nested_codes(nested, data, plan);
  plan.view.outer_kind =
      nested.outer == ElementType::kF16 && plan.outer_factor == 1.0f ? PlaneKind::kF16 : PlaneKind::kF32;
  return plan;
}

Layout integer_layout(int bits) {
  constexpr Layout kByBits[] = {Layout::kQ1, Layout::kQ1, Layout::kQ2, Layout::kQ3, Layout::kQ4,
                                Layout::kQ5, Layout::kQ6, Layout::kQ8, Layout::kQ8};
  return kByBits[bits];
}

Layout code_layout(const CodeFormat& code) {
  if (code.kind != CodeFormat::Kind::kFloat) return integer_layout(code.bits);
  switch (code.float_type) {
    case ElementType::kF4:
      return Layout::kQ4;
    case ElementType::kE4m3:
      return Layout::kE4m3;
    case ElementType::kE5m2:
      return Layout::kE5m2;
    case ElementType::kF16:
      return Layout::kF16;
    case ElementType::kBf16:
      return Layout::kBf16;
    default:
      return Layout::kF32;
  }
}

/// The largest distance of table * factor from integers, in units of the table.
double table_error(const std::vector<float>& table, float factor) {
  double worst = 0;
  for (const float value : table) {
    const float scaled = value * factor;
    worst = std::max(worst, static_cast<double>(std::fabs(scaled - std::nearbyint(scaled)) / factor));
  }
  return worst;
}

/// The table as the nearest 16-bit numbers, by the factor that leaves the least error: at most 2^-16 of the largest
/// value, in practice a fourth of that.
void plan_wide_table(PackPlan& plan) {
  float largest = 0.0f;
  for (const float value : plan.table) largest = std::max(largest, std::fabs(value));
  if (!(largest > 0x1p-60f) || largest > 0x1p60f) return;
  for (const float value : plan.table)
    if (!std::isfinite(value)) return;
  constexpr int kFactors = 4096;
  constexpr float kMost = 32767.0f;
  float best = kMost / largest;
  for (int i = 1; i < kFactors; ++i) {
    const float factor = (kMost - static_cast<float>(i) * (kMost / 2 / kFactors)) / largest;
    if (table_error(plan.table, factor) < table_error(plan.table, best)) best = factor;
  }
  plan.table_factor = best;
  plan.int_table_bias = 0x8000;
  plan.int_table.assign(16, 0);
  plan.int_table_high.assign(16, 0x80);
  for (std::size_t i = 0; i < plan.table.size(); ++i) {
    const auto u = static_cast<unsigned>(static_cast<std::int32_t>(std::nearbyint(plan.table[i] * best)) + 0x8000);
    plan.int_table[i] = static_cast<std::uint8_t>(u & 0xFF);
    plan.int_table_high[i] = static_cast<std::uint8_t>(u >> 8);
  }
}

/// The table as signed bytes times 1 / factor, if a power of two makes them that; else as 16-bit numbers.
void plan_int_table(PackPlan& plan) {
  if (plan.table.empty() || plan.table.size() > 16) return;
  for (const float factor : {1.0f, 2.0f, 4.0f, 8.0f}) {
    const bool fits = std::all_of(plan.table.begin(), plan.table.end(), [&](float value) {
      const float scaled = value * factor;
      return scaled >= -128.0f && scaled <= 127.0f && scaled == std::nearbyint(scaled);
    });
    if (!fits) continue;
    plan.table_factor = factor;
    plan.int_table.assign(16, 128);
    for (std::size_t i = 0; i < plan.table.size(); ++i)
      plan.int_table[i] = static_cast<std::uint8_t>(plan.table[i] * factor + 128.0f);
    return;
  }
  plan_wide_table(plan);
}

/// Tables, biases and whether the integer path can run; false when the codes need the generic layout.
bool plan_codes(const QuantizedMatrix& m, PackPlan& plan) {
  const CodeFormat& code = m.scheme.code;
  if (!is_integer_layout(plan.layout)) return true;
  const bool integers = code.kind == CodeFormat::Kind::kInteger;
  plan.has_int8 = integers;
  if (integers) {
    plan.bias = code.bias;
    if (std::abs(code.bias) > kLargestBias) return false;
    if (code.bits > 4) return true;
  }
  if (code.table == TableKind::kStored) {
    const TableFormat& table = m.scheme.table;
    if (table.grouping.kind != Grouping::Kind::kTensor || table.bank_size > 0) {
      plan.table_index_group = column_group(table.grouping, m.cols, 0);
      return plan.table_index_group != 0;
    }
  }
  plan.table = code_values(code, m.tables);
  if (integers) return true;
  plan_int_table(plan);
  plan.has_int8 = !plan.int_table.empty();
  return true;
}

bool is_indexed(const PlaneFormat& plane) { return plane.grouping.kind == Grouping::Kind::kIndexed; }

bool plan_planes(const QuantizedMatrix& m, bool wide_zero, PackPlan& plan) {
  const QuantScheme& scheme = m.scheme;
  std::int64_t indexed_group = 0;
  if (!m.group_index.empty()) {
    indexed_group = sort_columns(m.group_index, plan.column_order);
    // Sorting columns moves them across the boundaries of planes that group by position.
    const auto by_position = [&](const PlaneFormat& p) {
      return !is_indexed(p) && p.grouping.kind != Grouping::Kind::kTensor && p.grouping.kind != Grouping::Kind::kRow;
    };
    if (indexed_group == 0) return false;
    if (!plan.column_order.empty() &&
        ((scheme.scale && by_position(*scheme.scale)) || (scheme.offset && by_position(*scheme.offset)) ||
         (scheme.zero_kind != ZeroKind::kNone && by_position(scheme.zero)) || plan.table_index_group != 0))
      return false;
  }
  if (scheme.scale && !(plan.scale = plan_plane(*scheme.scale, m.scale, m, indexed_group))) return false;
  if (scheme.offset && !(plan.offset = plan_plane(*scheme.offset, m.offset, m, indexed_group))) return false;
  if (scheme.zero_kind == ZeroKind::kNone) return true;
  plan.zero = plan_plane(scheme.zero, m.zero, m, indexed_group);
  if (!plan.zero) return false;
  if (scheme.zero_kind == ZeroKind::kInteger && !scheme.zero.nested) {
    plan.zero->view.kind = wide_zero ? PlaneKind::kF32 : PlaneKind::kU8;
    plan.zero->raw = false;
    if (!wide_zero) {
      // The byte holds zero + bias, and the codes then have no bias: the same integer.
      plan.zero->code_shift = plan.bias;
      if (!plan.table.empty() && plan.has_int8 && plan.int_table.empty())
        for (float& value : plan.table) value += static_cast<float>(plan.bias);
      plan.bias = 0;
    }
  }
  return true;
}

}  // namespace

std::vector<float> code_values(const CodeFormat& code, std::span<const float> stored_table) {
  std::vector<float> values(std::size_t{1} << code.bits, 0.0f);
  if (code.kind == CodeFormat::Kind::kTable) {
    const std::span<const float> table = code.table == TableKind::kStored ? stored_table : table_values(code.table);
    std::copy_n(table.begin(), std::min(table.size(), values.size()), values.begin());
    return values;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto byte = static_cast<std::uint8_t>(i);
    if (code.kind == CodeFormat::Kind::kInteger)
      values[i] = static_cast<float>(static_cast<std::int32_t>(i) - code.bias);
    else if (code.float_type == ElementType::kE4m3)
      values[i] = e4m3_to_f32(byte);
    else if (code.float_type == ElementType::kE5m2)
      values[i] = e5m2_to_f32(byte);
    else
      values[i] = e2m1_to_f32(byte);
  }
  return values;
}

PackPlan plan_packing(const QuantizedMatrix& first, bool wide_zero) {
  const QuantScheme& scheme = first.scheme;
  const bool planes = scheme.scale || scheme.offset || scheme.zero_kind != ZeroKind::kNone;
  PackPlan plan;
  plan.layout = code_layout(scheme.code);
  if ((scheme.is_float() && planes) || first.cols == 0) {
    plan.layout = Layout::kF32;
    plan.decode_floats = true;
    return plan;
  }
  if (!plan_codes(first, plan) || !plan_planes(first, wide_zero, plan)) return PackPlan{};
  if (plan.zero && !plan.int_table.empty()) plan.has_int8 = plan.table_factor == 1.0f;
  plan.has_int8 = plan.has_int8 && !(plan.zero && plan.offset);
  for (const auto& plane : {plan.scale, plan.zero, plan.offset})
    if (plane && plane->view.group % kBlockCols != 0) plan.fold = 16;
  return plan;
}

}  // namespace nibble::kernel
