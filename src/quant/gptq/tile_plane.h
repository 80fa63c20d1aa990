// The scales, zero points or offsets of sixteen rows: what they can be once stored, and where they go. One small class
// per way of storing, behind one interface.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernel/error_feedback/error_feedback.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// One number for each of sixteen rows.
using Lanes = std::array<float, kernel::kFeedbackLanes>;

class TilePlane {
 public:
  virtual ~TilePlane() = default;

  /// The tile's rows are [first_row, first_row + lanes) from now on.
  virtual void begin(std::int64_t first_row, std::int64_t lanes) = 0;

  /// What the entry of `column` may be instead of `wanted`: number 0 is the nearest, the further ones lie around it.
  virtual float candidate(std::int64_t lane, std::int64_t column, float wanted, int number) const = 0;
  /// 1 where entries are fine enough that the nearest does.
  virtual int candidates() const = 0;
  /// Whether candidate() has nothing to choose from.
  virtual bool is_fixed() const { return false; }

  /// Keeps an entry that candidate() gave.
  virtual void keep(std::int64_t lane, std::int64_t column, float value) = 0;

  /// Columns whose entries share an outer scale that is yet to be chosen; 0: there is none.
  virtual std::int64_t outer_columns() const { return 0; }
  /// Chooses the outer scales of the entries that begin at `columns`: the least sum of weight * (wanted - entry)^2.
  virtual void choose_outer(std::span<const std::int64_t> columns, std::span<const Lanes> wanted,
                            std::span<const Lanes> weight) {
    (void)columns;
    (void)wanted;
    (void)weight;
  }

  /// Whether entries can be below and above 0.
  virtual bool has_both_signs() const { return true; }
};

enum class PlaneRole : std::uint8_t { kScale, kZero, kOffset };

/// The plane `role` of `out`, whose entries are chosen run by run. An outer scale that reaches beyond a row is fixed:
/// it is what `out` holds.
std::unique_ptr<TilePlane> make_tile_plane(PlaneRole role, QuantizedMatrix& out);

/// A plane that stays as `out` holds it.
std::unique_ptr<TilePlane> make_fixed_plane(PlaneRole role, QuantizedMatrix& out);

/// Whether outer scales can be chosen within a row of `cols` columns.
bool outer_is_within_rows(const PlaneFormat& format, std::int64_t cols);

}  // namespace nibble
