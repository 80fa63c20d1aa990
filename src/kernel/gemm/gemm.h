// Products of float32 matrices in any orientation: what gradients are made of. Weights in a model's own format are
// multiplied by kernel/matmul.
#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "kernel/kernel_info.h"

namespace nibble::kernel {

/// A matrix in memory: element (i, j) at data[i * row_stride + j * col_stride]; one of the strides is 1.
struct GemmInput {
  const float* data = nullptr;
  std::int64_t row_stride = 0;
  std::int64_t col_stride = 1;

  static GemmInput rows(const float* data, std::int64_t ld) { return {data, ld, 1}; }
  /// The transpose of a matrix whose rows lie `ld` apart.
  static GemmInput transposed(const float* data, std::int64_t ld) { return {data, 1, ld}; }
};

/// c[i, j] = sum over p < k of a[i, p] * b[p, j], or c[i, j] += that sum
struct GemmArgs {
  GemmInput a;  ///< [m, k]
  GemmInput b;  ///< [k, n]
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  float* c = nullptr;  ///< [m, n], rows ldc apart; overlaps neither input
  std::int64_t ldc = 0;
  bool add = false;
};

/// Products are added in runs of this many.
inline constexpr std::int64_t kGemmRun = 256;

/// The order of the sum: p in runs of kGemmRun, each one chain of fused steps from 0 in ascending p; the runs are added
/// in ascending order, to c if `add`. The same bits for every instruction set and any number of threads. A NaN in a row
/// of a or a column of b stays in that row or column.
void gemm(const GemmArgs& args, ThreadPool& pool);

/// The same on the calling thread alone, for bodies of a pool's loop.
void gemm_alone(const GemmArgs& args);

/// ---- Kernels ----

/// One tile of `rows` x `cols` outputs over k <= kGemmRun products: c[i * ldc + j] = (add ? c : 0) + the chain.
///
/// a  row i at a + i * kGemmRun (by_rows); or product p of all rows at a + p * rows (by_products)
/// b  product p of all columns at b + p * cols, aligned to 64 bytes
struct GemmKernel {
  using Tile = void (*)(const float* a, const float* b, std::int64_t k, float* c, std::int64_t ldc, bool add);
  KernelInfo info;
  int rows;
  int cols;
  Tile by_rows;
  Tile by_products;
};

/// The largest tile of any kernel.
inline constexpr int kGemmMaxTile = 14 * 32;

/// All kernels in this build, slowest first.
std::span<const GemmKernel* const> gemm_kernels();

/// gemm() with a given kernel, for tests and benchmarks.
void gemm_with(const GemmKernel& kernel, const GemmArgs& args, ThreadPool& pool);

}  // namespace nibble::kernel
