// The Gram matrix of activations, X^T X: what second-order quantization knows of a linear's input.
#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "kernel/kernel_info.h"

namespace nibble::kernel {

/// gram[i * cols + j] += sum over t of x[t, i] * x[t, j]     for i <= j; nothing below the diagonal is touched
///
/// x     [tokens, cols] float32, row t at x + t * ld
/// gram  [cols, cols] float64
/// The tokens of one call are added in float32 in their order, each product fused, the sum then in float64: pass at
/// most a few thousand at once. The same bits for every instruction set and any number of threads.
void add_gram(const float* x, std::int64_t tokens, std::int64_t cols, std::int64_t ld, double* gram, ThreadPool& pool);

/// Columns that a panel holds.
inline constexpr std::int64_t kGramPanel = 32;

/// out[i * kGramPanel + j] = sum over t of a[t * kGramPanel + i] * b[t * kGramPanel + j]
struct GramKernel {
  KernelInfo info;
  void (*tile)(const float* a, const float* b, std::int64_t tokens, float* out);
};

/// All kernels in this build, slowest first.
std::span<const GramKernel* const> gram_kernels();

}  // namespace nibble::kernel
