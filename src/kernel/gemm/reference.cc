// Tiles of float products in portable code: the definition.
#include <cmath>

#include "kernel/gemm/gemm.h"

namespace nibble::kernel::reference {
namespace {

constexpr int kRows = 4;
constexpr int kCols = 16;

void tile(const float* a, std::int64_t row_stride, std::int64_t product_stride, const float* b, std::int64_t k,
          float* c, std::int64_t ldc, bool add) {
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kCols; ++j) {
      float sum = 0;
      for (std::int64_t p = 0; p < k; ++p)
        sum = std::fma(a[i * row_stride + p * product_stride], b[p * kCols + j], sum);
      float& out = c[i * ldc + j];
      out = add ? out + sum : sum;
    }
  }
}

void by_rows(const float* a, const float* b, std::int64_t k, float* c, std::int64_t ldc, bool add) {
  tile(a, kGemmRun, 1, b, k, c, ldc, add);
}

void by_products(const float* a, const float* b, std::int64_t k, float* c, std::int64_t ldc, bool add) {
  tile(a, 1, kRows, b, k, c, ldc, add);
}

}  // namespace

extern const GemmKernel kGemm;
const GemmKernel kGemm = {{"gemm", "gemm_reference", 0}, kRows, kCols, by_rows, by_products};

}  // namespace nibble::kernel::reference
