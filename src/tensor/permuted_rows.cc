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

template <typename T>
void put(const std::vector<T>& from, std::vector<T>& to, std::int64_t row) {
  if (!from.empty())
    std::memcpy(to.data() + static_cast<std::size_t>(row) * from.size(), from.data(), from.size() * sizeof(T));
}

class PermutedRows final : public MatrixSource {
 public:
  PermutedRows(MatrixPtr source, std::vector<std::int64_t> order)
      : source_(std::move(source)), order_(std::move(order)) {}

  const QuantScheme& scheme() const override { return source_->scheme(); }
  std::int64_t rows() const override { return source_->rows(); }
  std::int64_t cols() const override { return source_->cols(); }

  Status decode(std::int64_t begin, std::int64_t count, QuantizedMatrix& out) const override {
    out.allocate(scheme(), rows(), cols(), begin, count);
    QuantizedMatrix row;
    for (std::int64_t r = 0; r < count; ++r) {
      NIBBLE_TRY_STATUS(source_->decode(order_[static_cast<std::size_t>(begin + r)], 1, row));
      put(row.codes, out.codes, r);
      if (scheme().scale) put_plane(*scheme().scale, row.scale, out.scale, r);
      if (scheme().zero_kind != ZeroKind::kNone) put_plane(scheme().zero, row.zero, out.zero, r);
      if (scheme().offset) put_plane(*scheme().offset, row.offset, out.offset, r);
      if (scheme().code.table == TableKind::kStored) {
        const bool shared = scheme().table.grouping.kind == Grouping::Kind::kTensor || scheme().table.bank_size > 0;
        put(row.tables, out.tables, shared ? 0 : r);
        put(row.selector, out.selector, scheme().table.grouping.kind == Grouping::Kind::kTensor ? 0 : r);
      }
      out.group_index = row.group_index;
      put(row.supplement.kept, out.supplement.kept, r);
      put(row.supplement.kept_scale, out.supplement.kept_scale, r);
      put(row.supplement.left, out.supplement.left, r);
      out.supplement.columns = row.supplement.columns;
      out.supplement.right = row.supplement.right;
    }
    return {};
  }

  void release(std::int64_t begin, std::int64_t count) const override {
    if (count == rows()) return source_->release(0, count);
    for (std::int64_t r = begin; r < begin + count; ++r) source_->release(order_[static_cast<std::size_t>(r)], 1);
  }

 private:
  static void put_plane(const PlaneFormat& format, const PlaneData& from, PlaneData& to, std::int64_t row) {
    const std::int64_t where = format.grouping.row_aligned() ? row : 0;
    put(from.entries, to.entries, where);
    put(from.codes, to.codes, where);
    put(from.outer, to.outer, format.nested && format.nested->entries_per_outer == 0 ? 0 : where);
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
