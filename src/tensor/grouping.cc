// Which weights share an entry of a plane.
#include "tensor/quant_scheme.h"

namespace nibble {
namespace {
constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
}  // namespace

std::int64_t Grouping::entries_per_row(std::int64_t matrix_rows, std::int64_t matrix_cols) const {
  switch (kind) {
    case Kind::kTensor:
      return 1;
    case Kind::kRow:
      return 1;
    case Kind::kColumns:
    case Kind::kBlock:
      return divide_up(matrix_cols, size);
    case Kind::kIndexed:
      return size;
    case Kind::kFlat:
      return divide_up(matrix_rows * matrix_cols, size);
    case Kind::kStrided:
      return matrix_rows * matrix_cols / size;
  }
  return 1;
}

std::int64_t Grouping::entries(std::int64_t matrix_rows, std::int64_t matrix_cols) const {
  const std::int64_t per_row = entries_per_row(matrix_rows, matrix_cols);
  if (!row_aligned()) return per_row;
  return per_row * (kind == Kind::kBlock ? divide_up(matrix_rows, rows) : matrix_rows);
}

std::int64_t Grouping::entry(std::int64_t r, std::int64_t c, std::int64_t matrix_rows, std::int64_t matrix_cols,
                             const std::int32_t* group_index) const {
  switch (kind) {
    case Kind::kTensor:
      return 0;
    case Kind::kRow:
      return r;
    case Kind::kColumns:
      return r * divide_up(matrix_cols, size) + c / size;
    case Kind::kBlock:
      return (r / rows) * divide_up(matrix_cols, size) + c / size;
    case Kind::kFlat:
      return (r * matrix_cols + c) / size;
    case Kind::kStrided:
      return (r * matrix_cols + c) % (matrix_rows * matrix_cols / size);
    case Kind::kIndexed:
      return r * size + group_index[c];
  }
  return 0;
}

}  // namespace nibble
