// Tables for weights whose scales are chosen: weighted k-means of (w - offset) / scale with weights importance *
// scale^2, so that what is lowered is the error of the weights themselves (algorithms.md 6.2).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "format/element_type.h"
#include "quant/rtn/codebook.h"
#include "quant/wnam/group_fit.h"

namespace nibble {

/// What a group adds to the k-means: its weights in the table's own measure.
void append_normalized(const GroupFit& fit, std::span<const float> w, std::span<const float> importance,
                       std::vector<WeightedValue>& out);

/// One step towards a better table: each entry goes to the weighted mean of the weights that have its code.
class TableMeans {
 public:
  explicit TableMeans(std::size_t entries) : product_(entries), square_(entries) {}
  void add(const GroupFit& fit, std::span<const float> w, std::span<const float> importance,
           std::span<const std::uint8_t> codes);
  void add(const TableMeans& other);
  /// Entries without weights stay. Rounded to `element`, ascending.
  std::vector<float> table(std::span<const float> before, ElementType element) const;

 private:
  std::vector<double> product_;  ///< sum of importance * scale * (w - offset)
  std::vector<double> square_;   ///< sum of importance * scale^2
};

/// The table of least weighted error, rounded to `element`. `values` is sorted in place.
std::vector<float> fresh_table(std::vector<WeightedValue>& values, int entries, ElementType element);

}  // namespace nibble
