// The levels of a scheme laid out for sixteen rows: a fixed table for all, or each row's own codebooks.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernel/error_feedback/error_feedback.h"
#include "quant/gptq/code_levels.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

class LevelTables {
 public:
  explicit LevelTables(QuantizedMatrix& out);

  /// Integer codes have none.
  bool empty() const { return tables_.empty(); }
  /// Codebooks of rows or of runs of columns, which each tile makes for itself.
  bool are_of_rows() const { return are_of_rows_; }
  /// Columns that share a table; the whole row where the table is the row's or fixed.
  std::int64_t columns() const { return columns_; }
  std::int64_t count() const { return static_cast<std::int64_t>(tables_.size()); }
  int entries() const {
    return tables_.empty() ? 0 : static_cast<int>(tables_.front().levels.size()) / kernel::kFeedbackLanes;
  }

  /// How a stored table keeps its values.
  ElementType element() const { return out_.scheme.table.element; }

  /// Gives a lane its own table: ascending values that the table's element type holds.
  void set(std::int64_t table, std::int64_t lane, std::span<const float> values);
  float level(std::int64_t table, std::int64_t lane, int entry) const {
    return tables_[static_cast<std::size_t>(table)]
        .levels[static_cast<std::size_t>(entry * kernel::kFeedbackLanes + lane)];
  }

  /// Points a grid at the table of `column`.
  void attach(std::int64_t column, kernel::FeedbackGrid& grid) const;

  /// The code of a level that a grid of `column` gave.
  std::uint8_t code(std::int64_t column, std::int64_t lane, float level) const;
  /// Stores the tables of rows.
  void store(std::int64_t first_row, std::int64_t lanes) const;

 private:
  struct Table {
    std::vector<float> levels;   ///< [entries][16]
    std::vector<float> middles;  ///< [entries - 1][16]
  };
  static void fill_middles(Table& table, std::int64_t lane);

  QuantizedMatrix& out_;
  CodeLevels fixed_;
  bool are_of_rows_ = false;
  std::int64_t columns_ = 0;
  std::vector<Table> tables_;
};

}  // namespace nibble
