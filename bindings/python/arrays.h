// Arrays between NumPy and the C interface, without copies.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <cstdint>

#include "nibble/nibble.h"

namespace nibble::python {

using IdsIn = nanobind::ndarray<const std::int32_t, nanobind::ndim<1>, nanobind::c_contig, nanobind::device::cpu>;
using IdsOut = nanobind::ndarray<nanobind::numpy, std::int32_t, nanobind::ndim<1>>;
using MatrixOut = nanobind::ndarray<nanobind::numpy, float, nanobind::ndim<2>>;

/// Memory that the C interface handed out, owned by the arrays that show it.
inline nanobind::capsule owner_of(void* memory) {
  return nanobind::capsule(memory, [](void* m) noexcept { nibble_free(m); });
}

inline IdsOut taken_ids(std::int32_t* ids, std::size_t count) { return IdsOut(ids, {count}, owner_of(ids)); }
inline MatrixOut taken_matrix(float* values, std::size_t rows, std::size_t columns) {
  return MatrixOut(values, {rows, columns}, owner_of(values));
}

}  // namespace nibble::python
