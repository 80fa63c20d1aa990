// A matrix's supplement beside its panels: kept columns and a product of low rank, multiplied in float32.
#pragma once

#include "base/thread_pool.h"
#include "kernel/matmul/packed_view.h"
#include "tensor/supplement.h"

namespace nibble::kernel {

/// Room for the supplement of all rows of a matrix, with what does not depend on rows, which `part` has; and takes the
/// supplement away from `part`: what is packed is its codes.
SupplementValues begin_supplement(QuantizedMatrix& part);
/// Moves the supplement of the rows of `tile` to its place. Different tiles may be taken at once.
void take_supplement(QuantizedMatrix& tile, SupplementValues& supplement);

/// y[t * ld_y + r] += sum over i of kept[r, i] x[t, columns[i]] + sum over j of left[r, j] (right[j] . x[t]). The same
/// bits for any number of threads and of tokens at once.
void add_supplement(const SupplementValues& supplement, const InputView& x, float* y, std::int64_t ld_y,
                    ThreadPool& pool);

}  // namespace nibble::kernel
