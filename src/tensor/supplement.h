// What a matrix holds beside its codes (SupplementFormat): its sizes, its validity and its meaning.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

constexpr std::int64_t kMaxSupplementRank = 4096;

/// Gives the supplement of `matrix` the sizes that its scheme and rows ask for; kept columns are 0, 1, 2 ...
void allocate_supplement(QuantizedMatrix& matrix);
/// kCorrupt where sizes or kept columns are not what the scheme asks for.
Status validate_supplement(const QuantizedMatrix& matrix);
/// Fills the rows of `to`, which is allocated, from a matrix of the same scheme that holds all rows.
void copy_supplement_rows(const QuantizedMatrix& from, QuantizedMatrix& to);

/// A supplement as float32.
struct SupplementValues {
  std::int64_t cols = 0;
  std::int64_t rank = 0;
  std::vector<std::int32_t> columns;
  std::vector<float> kept;   ///< [rows held, columns]
  std::vector<float> left;   ///< [rows held, rank]
  std::vector<float> right;  ///< [rank, cols]

  SupplementValues() = default;
  explicit SupplementValues(const QuantizedMatrix& matrix);

  bool empty() const { return columns.empty() && rank == 0; }
  /// Adds row `row` of those held to `values` [cols]: kept columns first, then the product's terms in order of rank.
  void add_to_row(std::int64_t row, float* values) const;
};

}  // namespace nibble
