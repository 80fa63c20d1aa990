// The blocked elimination, and the choice of the kernel that does most of its work.
#include "kernel/cholesky/cholesky.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace nibble::kernel {

namespace reference {
extern const CholeskyKernel kCholesky;
}
namespace avx2 {
extern const CholeskyKernel kCholesky;
}
namespace avx512 {
extern const CholeskyKernel kCholesky;
}
namespace neon {
extern const CholeskyKernel kCholesky;
}

std::span<const CholeskyKernel* const> cholesky_kernels() {
  static constexpr const CholeskyKernel* kKernels[] = {
    &reference::kCholesky,
#if defined(__x86_64__)
    &avx2::kCholesky,
    &avx512::kCholesky
#elif defined(__aarch64__)
    &neon::kCholesky
#endif
  };
  return kKernels;
}

namespace {

/// The block on the diagonal, from which all earlier columns have been eliminated.
bool factor_diagonal(double* a, std::int64_t n, std::int64_t size) {
  for (std::int64_t j = 0; j < size; ++j) {
    double pivot = a[j * n + j];
    for (std::int64_t k = 0; k < j; ++k) pivot -= a[j * n + k] * a[j * n + k];
    if (!(pivot > 0) || !std::isfinite(pivot)) return false;
    const double root = std::sqrt(pivot);
    a[j * n + j] = root;
    for (std::int64_t i = j + 1; i < size; ++i) {
      double sum = a[i * n + j];
      for (std::int64_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
      a[i * n + j] = sum / root;
    }
  }
  return true;
}

/// One row below the diagonal block `d`.
void solve_row(const double* d, std::int64_t n, std::int64_t size, double* row) {
  for (std::int64_t j = 0; j < size; ++j) {
    double sum = row[j];
    for (std::int64_t k = 0; k < j; ++k) sum -= row[k] * d[j * n + k];
    row[j] = sum / d[j * n + j];
  }
}

}  // namespace

bool cholesky(double* a, std::int64_t n, ThreadPool& pool) {
  static const CholeskyKernel& kernel = best_kernel(cholesky_kernels(), cpu_features());
  std::vector<double> transposed;  // the columns just eliminated, one per row
  for (std::int64_t begin = 0; begin < n; begin += kCholeskyBlock) {
    const std::int64_t size = std::min(kCholeskyBlock, n - begin);
    double* diagonal = a + begin * n + begin;
    if (!factor_diagonal(diagonal, n, size)) return false;
    const std::int64_t first = begin + size;
    const std::int64_t left = n - first;
    if (left == 0) return true;
    transposed.resize(static_cast<std::size_t>(kCholeskyBlock * left));
    pool.run(static_cast<std::size_t>(left), 16, [&](std::size_t from, std::size_t to, int) {
      for (auto r = static_cast<std::int64_t>(from); r < static_cast<std::int64_t>(to); ++r) {
        double* row = a + (first + r) * n + begin;
        solve_row(diagonal, n, size, row);
        for (std::int64_t k = 0; k < size; ++k) transposed[static_cast<std::size_t>(k * left + r)] = row[k];
      }
    });
    constexpr std::int64_t kRows = 4;
    const auto groups = static_cast<std::size_t>((left + kRows - 1) / kRows);
    pool.run(groups, 4, [&](std::size_t from, std::size_t to, int) {
      for (std::size_t g = from; g < to; ++g) {
        const std::int64_t r = static_cast<std::int64_t>(g) * kRows;
        const auto rows = static_cast<int>(std::min(kRows, left - r));
        // Up to the last row's diagonal; what a few rows get above theirs is not part of the result.
        double* row = a + (first + r) * n;
        kernel.eliminate(row + begin, n, rows, transposed.data(), left, r + rows, row + first, n);
      }
    });
  }
  return true;
}

}  // namespace nibble::kernel
