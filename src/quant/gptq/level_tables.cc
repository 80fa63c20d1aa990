#include "quant/gptq/level_tables.h"

#include <algorithm>

namespace nibble {
namespace {

constexpr std::int64_t kL = kernel::kFeedbackLanes;

}  // namespace

LevelTables::LevelTables(QuantizedMatrix& out) : out_(out), columns_(out.cols) {
  const QuantScheme& scheme = out.scheme;
  if (scheme.code.kind == CodeFormat::Kind::kInteger) return;
  const bool stored = scheme.code.table == TableKind::kStored;
  are_of_rows_ = stored && scheme.table.grouping.kind != Grouping::Kind::kTensor;
  if (are_of_rows_) {
    if (scheme.table.grouping.kind == Grouping::Kind::kColumns) columns_ = scheme.table.grouping.size;
    const auto entries = static_cast<std::size_t>(1) << scheme.code.bits;
    tables_.resize(static_cast<std::size_t>((out.cols + columns_ - 1) / columns_));
    for (Table& table : tables_) {
      table.levels.resize(entries * kL);
      table.middles.resize((entries - 1) * kL);
    }
    return;
  }
  fixed_ = code_levels(scheme.code, out.tables);
  Table table;
  for (const float value : fixed_.value) table.levels.insert(table.levels.end(), kL, value);
  table.middles.resize(table.levels.size() - kL);
  for (std::int64_t lane = 0; lane < kL; ++lane) fill_middles(table, lane);
  tables_.push_back(std::move(table));
}

void LevelTables::fill_middles(Table& table, std::int64_t lane) {
  for (auto i = static_cast<std::size_t>(lane); i < table.middles.size(); i += kL)
    table.middles[i] = 0.5f * (table.levels[i] + table.levels[i + kL]);
}

void LevelTables::set(std::int64_t table, std::int64_t lane, std::span<const float> values) {
  Table& changed = tables_[static_cast<std::size_t>(table)];
  for (std::size_t i = 0; i < values.size(); ++i) changed.levels[i * kL + static_cast<std::size_t>(lane)] = values[i];
  fill_middles(changed, lane);
}

void LevelTables::attach(std::int64_t column, kernel::FeedbackGrid& grid) const {
  if (empty()) return;
  const Table& table = tables_[static_cast<std::size_t>(column / columns_)];
  grid.levels = table.levels.data();
  grid.middles = table.middles.data();
  grid.count = entries();
}

std::uint8_t LevelTables::code(std::int64_t column, std::int64_t lane, float level) const {
  if (!are_of_rows_) return fixed_.code[fixed_.nearest(level)];
  const std::vector<float>& levels = tables_[static_cast<std::size_t>(column / columns_)].levels;
  std::uint8_t code = 0;
  for (auto i = static_cast<std::size_t>(lane); i < levels.size() && levels[i] != level; i += kL) ++code;
  return code;
}

void LevelTables::store(std::int64_t first_row, std::int64_t lanes) const {
  if (!are_of_rows_) return;
  const auto size = static_cast<std::size_t>(entries());
  for (std::int64_t lane = 0; lane < lanes; ++lane)
    for (std::int64_t t = 0; t < count(); ++t) {
      const auto at = static_cast<std::size_t>((first_row + lane) * count() + t) * size;
      for (std::size_t i = 0; i < size; ++i) out_.tables[at + i] = level(t, lane, static_cast<int>(i));
    }
}

}  // namespace nibble
