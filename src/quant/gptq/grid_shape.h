// Which columns of a row error feedback grids together, and which schemes it can make.
#pragma once

#include <cstdint>

#include "tensor/quant_scheme.h"

namespace nibble {

/// Positions [from, to) in the order of quantizing.
struct ColumnRun {
  std::int64_t from;
  std::int64_t to;
};

/// Columns that share every parameter, and how many of them are gridded at once: the super-block of nested scales.
struct GridShape {
  std::int64_t run = 1;
  std::int64_t unit = 1;  ///< a multiple of run
  bool operator==(const GridShape&) const = default;
};

/// Of a scheme that check_gptq_scheme() accepts.
GridShape grid_shape(const QuantScheme& scheme, std::int64_t cols);

/// Whether a plane's entries reach beyond a row, so that they are chosen before the pass.
bool is_chosen_before(const Grouping& grouping, std::int64_t cols);

/// Success when error feedback can produce `scheme` in rows of `cols` columns (0: of some number).
///
/// Codes: integers, float codes, tables whose codes are free, codebooks of the tensor, of rows or of runs of columns.
/// Scales, with zero points or offsets in the same groups: plain; nested within rows (k-quants); or as round-to-nearest
/// chooses them where they are shared by rows (tensor, blocks, runs that cross rows, double quantization's outer ones).
Status check_gptq_scheme(const QuantScheme& scheme, std::int64_t cols = 0);

}  // namespace nibble
