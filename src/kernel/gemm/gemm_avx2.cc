// Tiles of float products on AVX2.
#include "kernel/gemm/gemm.h"
#include "kernel/lanes/lanes_avx2.h"

namespace nibble::kernel::avx2 {
namespace {

constexpr int kRows = 6;
constexpr int kVectors = 1;

}  // namespace

#include "kernel/gemm/gemm_lanes.inc"

extern const GemmKernel kGemm;
const GemmKernel kGemm = {{"gemm", "gemm_avx2", kAvx2 | kFma | kF16c}, kRows, 16 * kVectors, by_rows, by_products};

}  // namespace nibble::kernel::avx2
