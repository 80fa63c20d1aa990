// Cholesky factorization in float64, blocked, on all threads.
#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "kernel/kernel_info.h"

namespace nibble::kernel {

/// Replaces the lower triangle of the symmetric matrix `a` [n, n], row-major, by L with A = L L^T. What stands above
/// the diagonal is not read, and is of no use afterwards. False when A is not positive definite (or holds NaN): all of
/// `a` is of no use then. The same bits for every instruction set and any number of threads.
[[nodiscard]] bool cholesky(double* a, std::int64_t n, ThreadPool& pool);

/// Columns that are eliminated at a time.
inline constexpr std::int64_t kCholeskyBlock = 64;

/// c[r * ld_c + j] -= sum over k < kCholeskyBlock of l[r * ld_l + k] * p[k * ld_p + j], for r < rows <= 4, j < count;
/// k in order, each product rounded before it is subtracted.
struct CholeskyKernel {
  KernelInfo info;
  void (*eliminate)(const double* l, std::int64_t ld_l, int rows, const double* p, std::int64_t ld_p,
                    std::int64_t count, double* c, std::int64_t ld_c);
};

/// All kernels in this build, slowest first.
std::span<const CholeskyKernel* const> cholesky_kernels();

}  // namespace nibble::kernel
