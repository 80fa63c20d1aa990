// The same values on another grid: codes shifted, scales repeated, planes in another type. What conversion between
// checkpoint families is made of; no family is known here.
//
//   an integer difference code - bias - zero may move to a wider code, to other zero points, or between an integer code
//   and a table of integers; any other code keeps its numbers
//   a group may be cut into smaller ones, each with the old group's scale
//   an entry may change its type, a nested plane may become a plain one
#pragma once

#include <cstdint>

#include "base/result.h"
#include "tensor/quantized_matrix.h"

namespace nibble {

/// How sure it is that `to` holds every value of a matrix of `from`.
enum class Regrid : std::uint8_t {
  kNever,   ///< codes or groups of this kind do not fit
  kByData,  ///< some matrices fit: regrid() tells
  kAlways,  ///< whatever the codes and scales (zero points within 0 .. 2^bits, as families write them)
};

/// Activations are not looked at; kNever where there is a supplement. Needs no data.
Regrid can_regrid(const QuantScheme& from, const QuantScheme& to, std::int64_t rows, std::int64_t cols);

/// Whether scales, zero points and offsets that the target's type cannot hold may be rounded to it. Codes never change
/// their meaning.
enum class PlaneRounding : std::uint8_t { kRefuse, kNearest };

/// Like can_regrid, but kAlways where only the planes need rounding: a scale to a narrower type, a zero point that
/// becomes a real offset.
Regrid can_keep_codes(const QuantScheme& from, const QuantScheme& to, std::int64_t rows, std::int64_t cols);

/// `from` in the terms of `to`, for pairs that are not kNever. kUnsupported, naming the row, when a value does not fit.
Status regrid(const QuantizedMatrix& from, const QuantScheme& to, PlaneRounding rounding, QuantizedMatrix& out);
/// The same for a matrix that is not needed any more: its codes are taken where they stay as they are.
Status regrid(QuantizedMatrix&& from, const QuantScheme& to, PlaneRounding rounding, QuantizedMatrix& out);

/// `source` seen through regrid(), tile by tile.
MatrixPtr regrid_source(MatrixPtr source, QuantScheme to, PlaneRounding rounding);

}  // namespace nibble
