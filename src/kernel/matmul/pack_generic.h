// Packing into the generic layout: codes row by row, planes decoded to float32 in their own order.
#pragma once

#include "kernel/matmul/packed_storage.h"

namespace nibble::kernel {

/// Sizes everything for the whole matrix; `first` holds some rows. Tables of the matrix's own are the caller's.
Status prepare_generic(const QuantizedMatrix& first, PackedMatrix::Storage& storage);

/// Packs the codes of the rows held; different rows may be packed at once.
void pack_generic_codes(const QuantizedMatrix& part, PackedMatrix::Storage& storage);

/// Copies the plane entries held; not at once.
void pack_generic_planes(const QuantizedMatrix& part, PackedMatrix::Storage& storage);

}  // namespace nibble::kernel
