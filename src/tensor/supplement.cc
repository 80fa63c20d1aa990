#include "tensor/supplement.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/check.h"
#include "base/half.h"

namespace nibble {
namespace {

constexpr std::size_t kHalfBytes = 2;

/// Sizes of a supplement's parts for so many rows.
struct Sizes {
  std::size_t columns = 0;
  std::size_t kept = 0;
  std::size_t kept_scale = 0;
  std::size_t left = 0;
  std::size_t right = 0;

  Sizes(const SupplementFormat& format, std::int64_t rows, std::int64_t cols) {
    const auto r = static_cast<std::size_t>(rows);
    columns = static_cast<std::size_t>(format.kept_columns(cols));
    kept = r * columns * static_cast<std::size_t>(element_info(format.kept_element).bits) / 8;
    if (columns > 0 && format.kept_element == ElementType::kI8) kept_scale = r * kHalfBytes;
    left = r * static_cast<std::size_t>(format.rank) * kHalfBytes;
    right = static_cast<std::size_t>(format.rank) * static_cast<std::size_t>(cols) * kHalfBytes;
  }
};

std::vector<float> halves(const std::vector<std::byte>& bytes) {
  std::vector<float> out(bytes.size() / kHalfBytes);
  decode_elements(ElementType::kF16, bytes.data(), out.size(), out.data());
  return out;
}

void copy_part(const std::vector<std::byte>& from, std::vector<std::byte>& to, std::int64_t first, std::int64_t count) {
  if (to.empty()) return;
  const std::size_t row_bytes = to.size() / static_cast<std::size_t>(count);
  std::memcpy(to.data(), from.data() + static_cast<std::size_t>(first) * row_bytes, to.size());
}

}  // namespace

std::int64_t SupplementFormat::kept_columns(std::int64_t cols) const {
  if (kept_parts == 0) return 0;
  return std::clamp<std::int64_t>((cols * kept_parts + 5000) / 10000, std::min<std::int64_t>(1, cols), cols);
}

void allocate_supplement(QuantizedMatrix& m) {
  m.supplement = {};
  if (m.scheme.supplement.empty()) return;
  const Sizes sizes(m.scheme.supplement, m.row_count, m.cols);
  m.supplement.columns.resize(sizes.columns);
  std::iota(m.supplement.columns.begin(), m.supplement.columns.end(), 0);
  m.supplement.kept.resize(sizes.kept);
  m.supplement.kept_scale.resize(sizes.kept_scale);
  m.supplement.left.resize(sizes.left);
  m.supplement.right.resize(sizes.right);
}

Status validate_supplement(const QuantizedMatrix& m) {
  const SupplementData& held = m.supplement;
  const Sizes sizes(m.scheme.supplement, m.row_count, m.cols);
  if (held.columns.size() != sizes.columns || held.kept.size() != sizes.kept ||
      held.kept_scale.size() != sizes.kept_scale || held.left.size() != sizes.left || held.right.size() != sizes.right)
    return fail(ErrorCode::kCorrupt, "the supplement does not have the size that its scheme asks for");
  std::int64_t after = -1;
  for (const std::int32_t column : held.columns) {
    if (column <= after || column >= m.cols)
      return fail(ErrorCode::kCorrupt, "kept column {} stands behind {} in a matrix of {} columns", column, after,
                  m.cols);
    after = column;
  }
  return {};
}

void copy_supplement_rows(const QuantizedMatrix& from, QuantizedMatrix& to) {
  NIBBLE_CHECK(from.row_begin == 0 && from.row_count == from.rows);
  to.supplement.columns = from.supplement.columns;
  to.supplement.right = from.supplement.right;
  copy_part(from.supplement.kept, to.supplement.kept, to.row_begin, to.row_count);
  copy_part(from.supplement.kept_scale, to.supplement.kept_scale, to.row_begin, to.row_count);
  copy_part(from.supplement.left, to.supplement.left, to.row_begin, to.row_count);
}

SupplementValues::SupplementValues(const QuantizedMatrix& m)
    : cols(m.cols),
      rank(m.scheme.supplement.rank),
      columns(m.supplement.columns),
      left(halves(m.supplement.left)),
      right(halves(m.supplement.right)) {
  if (m.scheme.supplement.kept_element != ElementType::kI8) {
    kept = halves(m.supplement.kept);
    return;
  }
  const std::vector<float> scales = halves(m.supplement.kept_scale);
  kept.resize(m.supplement.kept.size());
  for (std::size_t i = 0; i < kept.size(); ++i)
    kept[i] = scales[i / columns.size()] * static_cast<float>(std::to_integer<std::int8_t>(m.supplement.kept[i]));
}

void SupplementValues::add_to_row(std::int64_t row, float* values) const {
  const float* own = kept.data() + static_cast<std::size_t>(row) * columns.size();
  for (std::size_t i = 0; i < columns.size(); ++i) values[columns[i]] += own[i];
  for (std::int64_t j = 0; j < rank; ++j) {
    const float factor = left[static_cast<std::size_t>(row * rank + j)];
    const float* terms = right.data() + j * cols;
    for (std::int64_t c = 0; c < cols; ++c) values[c] += factor * terms[c];
  }
}

}  // namespace nibble
