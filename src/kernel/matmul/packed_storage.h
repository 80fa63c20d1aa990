// The memory behind a PackedMatrix: panels in aligned memory, tables and column orders beside them. Private to packing.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernel/matmul/packed_matrix.h"
#include "kernel/matmul/packed_view.h"
#include "tensor/supplement.h"

namespace nibble::kernel {

/// Uninitialized memory aligned to 64 bytes; of its own, or a part of an arena's.
class AlignedBytes {
 public:
  AlignedBytes() = default;
  /// Holds nothing (data() is null) when the memory is not to be had.
  AlignedBytes(std::size_t size, PanelArena* arena);
  std::uint8_t* data() const { return memory_.get(); }
  std::size_t size() const { return size_; }

 private:
  std::shared_ptr<std::uint8_t> memory_;
  std::size_t size_ = 0;
};

struct PackedMatrix::Storage {
  PackedView view;
  PanelArena* arena = nullptr;  ///< while packing: where to take panels
  AlignedBytes panels;          ///< of the generic layout: the codes; empty when they lie in a file
  std::span<const std::uint8_t> mapped_panels;
  std::shared_ptr<const void> mapping;  ///< keeps mapped_panels valid
  std::string name;
  std::vector<float> table;   ///< PackedView::table
  std::vector<float> tables;  ///< PackedView::tables or GenericView::tables
  std::vector<std::uint8_t> int_table;
  std::vector<std::uint8_t> int_table_high;
  std::array<std::vector<float>, 3> luts;  ///< of the scale, zero and offset planes
  std::vector<std::int32_t> column_order;

  GenericView generic;
  std::array<std::vector<float>, 3> generic_planes;  ///< scale, zero, offset
  std::vector<std::uint8_t> selector;
  std::vector<std::int32_t> group_index;

  SupplementValues supplement;  ///< of all rows

  std::size_t bytes() const;
  std::span<const std::uint8_t> panel_bytes() const {
    return mapping != nullptr ? mapped_panels : std::span<const std::uint8_t>(panels.data(), panels.size());
  }
};

}  // namespace nibble::kernel
