#include "quant/wnam/codebooks.h"

#include <algorithm>

#include "base/check.h"
#include "quant/integer_groups.h"
#include "quant/stored_scale.h"
#include "quant/wnam/block_fit.h"

namespace nibble {
namespace {

using Kind = Grouping::Kind;

/// Writes the scales, offsets, codes and picks of a block that begins at (row, column) of the matrix.
void store_block(const BlockFit& fit, const WeightBlock& block, std::int64_t row, std::int64_t column,
                 std::int64_t group, QuantizedMatrix& out) {
  const QuantScheme& scheme = out.scheme;
  const std::int64_t entries = scheme.scale ? scheme.scale->grouping.entries_per_row(out.rows, out.cols) : 0;
  GroupFitter fitter(scheme);
  for (std::int64_t r = 0; r < block.rows; ++r) {
    fit.encode_row(fitter, r, out.codes.data() + (row + r) * out.cols + column);
    for (std::int64_t g = 0; scheme.scale && g * group < block.cols; ++g) {
      const std::int64_t entry = (row + r) * entries + column / group + g;
      store_entry(scheme.scale->element, fit.group_fit(r, g).scale, out.scale.entries, entry);
      if (scheme.offset) store_entry(scheme.offset->element, fit.group_fit(r, g).offset, out.offset.entries, entry);
    }
  }
}

}  // namespace

Status check_codebook_scheme(const QuantScheme& scheme) {
  NIBBLE_TRY_STATUS(scheme.validate());
  const auto refuse = [&](std::string_view why) {
    return fail(ErrorCode::kUnsupported, "wnam cannot make {}: {}; use a codebook such as codebook4-row-g64",
                to_string(scheme), why);
  };
  if (scheme.code.table != TableKind::kStored) return refuse("it has no codebook of its own");
  if (scheme.zero_kind != ZeroKind::kNone || scheme.post_scale != 1.0f) return refuse("it has zero points");
  const Kind table = scheme.table.grouping.kind;
  const bool bank = scheme.table.bank_size > 0;
  if (table != Kind::kRow && table != Kind::kColumns && (table != Kind::kTensor || bank))
    return refuse("its codebooks are not per row, run of columns or tensor");
  if (bank && table != Kind::kColumns) return refuse("a bank is picked from per run of columns");
  if (!scheme.scale) return scheme.offset ? refuse("it has offsets without scales") : Status{};
  if (scheme.scale->nested || scheme.scale->divides || (scheme.offset && scheme.offset->nested))
    return refuse("its scales are not plain");
  const Kind scale = scheme.scale->grouping.kind;
  if (scale != Kind::kRow && scale != Kind::kColumns) return refuse("its scales are not per row or group of columns");
  if (scheme.offset && scheme.offset->grouping != scheme.scale->grouping)
    return refuse("scales and offsets have different groups");
  if (table == Kind::kColumns && (scale == Kind::kRow || scheme.table.grouping.size % scheme.scale->grouping.size != 0))
    return refuse("a scale's weights have several codebooks");
  return {};
}

QuantScheme with_codebook_bank(const QuantScheme& scheme, int tables, std::int64_t columns) {
  QuantScheme out = scheme;
  out.table.grouping = Grouping::columns(columns);
  out.table.bank_size = tables;
  return out;
}

QuantScheme with_offsets(const QuantScheme& scheme) {
  QuantScheme out = scheme;
  out.offset = scheme.scale;
  return out;
}

QuantizedMatrix fit_codebooks(std::span<const float> weights, std::int64_t rows, std::int64_t cols,
                              std::span<const float> importance, const QuantScheme& scheme,
                              const CodebookOptions& options, ThreadPool& pool) {
  NIBBLE_CHECK(static_cast<std::int64_t>(weights.size()) == rows * cols &&
               (static_cast<std::int64_t>(importance.size()) == cols || importance.size() == weights.size()));
  const std::int64_t importance_stride = importance.size() == weights.size() ? cols : 0;
  QuantizedMatrix out;
  out.allocate(scheme, rows, cols, 0, rows);
  const std::int64_t entries = std::int64_t{1} << scheme.code.bits;
  const bool bank = scheme.table.bank_size > 0;
  const std::int64_t columns =
      scheme.table.grouping.kind == Kind::kColumns ? std::min(scheme.table.grouping.size, cols) : cols;
  const std::int64_t group = scheme.scale ? group_columns(scheme, cols) : columns;
  if (bank || scheme.table.grouping.kind == Kind::kTensor) {
    const WeightBlock block{weights.data(), cols, rows, cols, importance.data(), importance_stride};
    BlockFit fit(block, scheme, group, columns, bank ? scheme.table.bank_size : 1, options, &pool);
    fit.run();
    store_block(fit, block, 0, 0, group, out);
    for (std::size_t t = 0; t < fit.tables().size(); ++t)
      std::copy(fit.tables()[t].begin(), fit.tables()[t].end(),
                out.tables.begin() + static_cast<std::ptrdiff_t>(t) * entries);
    const std::int64_t picks = (cols + columns - 1) / columns;
    for (std::size_t i = 0; i < out.selector.size(); ++i)
      out.selector[i] = fit.selected(static_cast<std::int64_t>(i) / picks, static_cast<std::int64_t>(i) % picks);
    return out;
  }
  const std::int64_t per_row = (cols + columns - 1) / columns;
  pool.run(static_cast<std::size_t>(rows * per_row), 8, [&](std::size_t begin, std::size_t end, int) {
    for (auto n = static_cast<std::int64_t>(begin); n < static_cast<std::int64_t>(end); ++n) {
      const std::int64_t row = n / per_row;
      const std::int64_t column = n % per_row * columns;
      const std::int64_t width = std::min(columns, cols - column);
      const WeightBlock block{weights.data() + row * cols + column, cols, 1, width,
                              importance.data() + row * importance_stride + column};
      BlockFit fit(block, scheme, std::min(group, width), width, 1, options, nullptr);
      fit.run();
      store_block(fit, block, row, column, group, out);
      std::copy(fit.tables()[0].begin(), fit.tables()[0].end(), out.tables.begin() + n * entries);
    }
  });
  return out;
}

}  // namespace nibble
