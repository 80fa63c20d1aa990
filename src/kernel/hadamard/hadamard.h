// The Walsh-Hadamard transform, which spreads a large entry of a vector over all of it without changing products.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"

namespace nibble::kernel {

/// The largest power of two that divides n: the size of the transform's blocks.
std::int64_t hadamard_block(std::int64_t n);

/// x[row, v] = H x[row, v] / sqrt(block) for each of `vectors` vectors of n floats in a row, block by block of
/// hadamard_block(n). Rows are ld_x apart. The transform is its own inverse, and keeps a . b for vectors that it both
/// has been applied to. The same bits on every machine: steps of size 1, 2, 4 ..., then one product.
void hadamard(float* x, std::int64_t rows, std::int64_t vectors, std::int64_t n, std::int64_t ld_x, ThreadPool& pool);

}  // namespace nibble::kernel
