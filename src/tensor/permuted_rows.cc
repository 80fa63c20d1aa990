// Permuted rows: each row is decoded from the source by itself and put where it belongs.
#include "tensor/permuted_rows.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace nibble {
namespace {

bool rows_stand_alone(const Grouping& grouping) {
  using Kind = Grouping::Kind;
  return grouping.kind == Kind::kTensor || grouping.kind == Kind::kRow || grouping.kind == Kind::kColumns ||
         grouping.kind == Kind::kIndexed;
}

/// A row's entries must begin at a whole outer scale, so that they can move with it.
bool plane_moves(const PlaneFormat& plane, std::int64_t rows, std::int64_t cols) {
  if (!rows_stand_alone(plane.grouping)) return false;
  if (!plane.nested || plane.nested->entries_per_outer == 0) return true;
  return plane.grouping.row_aligned() &&
         plane.grouping.entries_per_row(rows, cols) % plane.nested->entries_per_outer == 0;
}

/// Row `from_row` of `from_rows` to row `to_row`; what all rows share is one row of one.
template <typename T>
void put(const std::vector<T>& from, std::int64_t from_rows, std::int64_t from_row, std::vector<T>& to,
         std::int64_t to_row) {
  if (from.empty()) return;
  const std::size_t size = from.size() / static_cast<std::size_t>(from_rows);
  std::memcpy(to.data() + static_cast<std::size_t>(to_row) * size,
              from.data() + static_cast<std::size_t>(from_row) * size, size * sizeof(T));
}

class PermutedRows final : public MatrixSource {
 public:
  PermutedRows(MatrixPtr source, std::vector<std::int64_t> order)
      : source_(std::move(source)), order_(std::move(order)) {}

  const QuantScheme& scheme() const override { return source_->scheme(); }
  std::int64_t rows() const override { return source_->rows(); }
  std::int64_t cols() const override { return source_->cols(); }

  /// Rows that lie close together in the source (those of a head) are decoded together.
  Status decode(std::int64_t begin, std::int64_t count, QuantizedMatrix& out) const override {
    out.allocate(scheme(), rows(), cols(), begin, count);
    if (count == 0) return {};
    QuantizedMatrix held;
    const auto first = order_.begin() + begin;
    const auto [lowest, highest] = std::minmax_element(first, first + count);
    if (*highest - *lowest < 2 * count) {
      NIBBLE_TRY_STATUS(source_->decode(*lowest, *highest - *lowest + 1, held));
      for (std::int64_t r = 0; r < count; ++r) put_row(held, first[r] - *lowest, out, r);
      return {};
    }
    for (std::int64_t r = 0; r < count; ++r) {
      NIBBLE_TRY_STATUS(source_->decode(first[r], 1, held));
      put_row(held, 0, out, r);
    }
    return {};
  }

  void release(std::int64_t begin, std::int64_t count) const override {
    if (count == rows()) return source_->release(0, count);
    for (std::int64_t r = begin; r < begin + count; ++r) source_->release(order_[static_cast<std::size_t>(r)], 1);
  }

 private:
  void put_row(const QuantizedMatrix& from, std::int64_t from_row, QuantizedMatrix& to, std::int64_t row) const {
    const std::int64_t held = from.row_count;
    put(from.codes, held, from_row, to.codes, row);
    if (scheme().scale) put_plane(*scheme().scale, from.scale, held, from_row, to.scale, row);
    if (scheme().zero_kind != ZeroKind::kNone) put_plane(scheme().zero, from.zero, held, from_row, to.zero, row);
    if (scheme().offset) put_plane(*scheme().offset, from.offset, held, from_row, to.offset, row);
    if (scheme().code.table == TableKind::kStored) {
      const bool one_entry = scheme().table.grouping.kind == Grouping::Kind::kTensor;
      if (one_entry || scheme().table.bank_size > 0)
        to.tables = from.tables;
      else
        put(from.tables, held, from_row, to.tables, row);
      if (one_entry)
        to.selector = from.selector;
      else
        put(from.selector, held, from_row, to.selector, row);
    }
    to.group_index = from.group_index;
    put(from.supplement.kept, held, from_row, to.supplement.kept, row);
    put(from.supplement.kept_scale, held, from_row, to.supplement.kept_scale, row);
    put(from.supplement.left, held, from_row, to.supplement.left, row);
    to.supplement.columns = from.supplement.columns;
    to.supplement.right = from.supplement.right;
  }

  static void put_plane(const PlaneFormat& format, const PlaneData& from, std::int64_t held, std::int64_t from_row,
                        PlaneData& to, std::int64_t row) {
    if (format.grouping.row_aligned()) {
      put(from.entries, held, from_row, to.entries, row);
      put(from.codes, held, from_row, to.codes, row);
    } else {
      to.entries = from.entries;
      to.codes = from.codes;
    }
    if (format.grouping.row_aligned() && format.nested && format.nested->entries_per_outer > 0)
      put(from.outer, held, from_row, to.outer, row);
    else
      to.outer = from.outer;
    to.table = from.table;
    to.constant = from.constant;
  }

  MatrixPtr source_;
  std::vector<std::int64_t> order_;
};

}  // namespace

Result<MatrixPtr> permute_rows(MatrixPtr source, std::vector<std::int64_t> order) {
  NIBBLE_CHECK(static_cast<std::int64_t>(order.size()) == source->rows());
  const QuantScheme& scheme = source->scheme();
  const std::int64_t rows = source->rows();
  const std::int64_t cols = source->cols();
  bool moves = !scheme.scale || plane_moves(*scheme.scale, rows, cols);
  moves = moves && (scheme.zero_kind == ZeroKind::kNone || plane_moves(scheme.zero, rows, cols));
  moves = moves && (!scheme.offset || plane_moves(*scheme.offset, rows, cols));
  moves = moves && (scheme.code.table != TableKind::kStored || rows_stand_alone(scheme.table.grouping));
  if (!moves)
    return fail(ErrorCode::kUnsupported, "rows of {} share scales, so their order cannot be changed",
                to_string(scheme));
  return MatrixPtr(std::make_shared<PermutedRows>(std::move(source), std::move(order)));
}

}  // namespace nibble
