// Which tensors hold a matrix of a scheme in the nibble family, in one list that reading, planning and writing share.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "tensor/quant_scheme.h"

namespace nibble {

/// What one tensor of a module holds.
enum class NibblePart : std::uint8_t {
  kShape,        ///< .shape: I64 [2], rows and columns
  kCodes,        ///< .codes: U8 [rows, bytes of a row]
  kEntries,      ///< .scale, .zero, .offset: plain plane
  kNestedCodes,  ///< .scale.codes ...: U8, one dense stream over all entries
  kOuter,        ///< .scale.outer ...
  kNestedTable,  ///< .scale.table ...: F32
  kConstant,     ///< .scale.constant ...: F32 [1]
  kTable,        ///< .table
  kSelector,     ///< .selector: U8
  kGroupIndex,   ///< .group_index: I32 [columns]
  kKeptColumns,  ///< .kept.columns: I32 [kept]
  kKept,         ///< .kept: F16 or I8 [rows, kept]
  kKeptScale,    ///< .kept.scale: F16 [rows]
  kLeft,         ///< .left: F16 [rows, rank]
  kRight,        ///< .right: F16 [rank, columns]
};

/// The plane that a part belongs to.
enum class NibblePlane : std::uint8_t { kNone, kScale, kZero, kOffset };

struct NibbleTensor {
  NibblePart part;
  NibblePlane plane;
  std::string suffix;               ///< ".scale.codes"
  std::vector<std::int64_t> shape;  ///< row-major
  ElementType element;
};

/// The tensors in the order in which they are planned. The scheme is storable, rows and cols are 1 to 2^31 - 1.
/// kInvalidArgument when the groups do not fit the matrix.
Result<std::vector<NibbleTensor>> nibble_tensors(const QuantScheme& scheme, std::int64_t rows, std::int64_t cols);

/// Bytes of one row of codes.
std::uint64_t nibble_row_bytes(const CodeFormat& code, std::int64_t cols);

/// Outer scales of a nested plane with this many entries.
std::int64_t nibble_outer_count(const NestedFormat& nested, std::int64_t entries);

const PlaneFormat& plane_format(const QuantScheme& scheme, NibblePlane plane);

}  // namespace nibble
