// A packed matrix as bytes, to be kept in a file and used from there: a description (everything but the panels) and the
// panels, which are used in place. Bytes that were damaged or made up are refused; what is accepted is safe to compute
// with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "kernel/matmul/packed_matrix.h"

namespace nibble::kernel {

/// Number of the layouts that packing makes, on every instruction set. Raise it whenever a matrix packs to other bytes
/// than before (packed_view.h, pack.cc, pack_plan.cc), so that packs kept in files are made anew.
inline constexpr std::uint32_t kPackedLayoutVersion = 1;

/// Panels begin at a multiple of this in memory, and so in files.
inline constexpr std::size_t kPanelAlignment = 64;

std::vector<std::byte> describe_packed(const PackedMatrix& matrix);

/// The matrix's own bytes; valid as long as it is.
std::span<const std::byte> packed_panels(const PackedMatrix& matrix);

/// The matrix that describe_packed() and packed_panels() gave. `panels`, aligned, are used where they are and kept
/// alive by `owner`. kCorrupt when sizes, kinds or indices are not those of a rows x cols matrix; tables of tables'
/// numbers and the like are read through once for this, panels without indices are not touched.
Result<PackedMatrix> packed_from_image(std::span<const std::byte> description, std::span<const std::byte> panels,
                                       std::shared_ptr<const void> owner, std::int64_t rows, std::int64_t cols);

/// Bytes of panels that rows [row_begin, row_end) occupy, from the start of all panels; row_begin is a multiple of 32,
/// row_end too or the end. Of the generic layout: their codes.
struct PanelRange {
  std::size_t offset = 0;
  std::size_t bytes = 0;
};
PanelRange panel_range(const PackedMatrix& matrix, std::int64_t row_begin, std::int64_t row_end);

}  // namespace nibble::kernel
