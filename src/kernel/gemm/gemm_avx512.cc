// Tiles of float products on AVX-512.
#include "kernel/gemm/gemm.h"
#include "kernel/lanes/lanes_avx512.h"

namespace nibble::kernel::avx512 {
namespace {

constexpr int kRows = 14;
constexpr int kVectors = 2;

}  // namespace

#include "kernel/gemm/gemm_lanes.inc"

extern const GemmKernel kGemm;
const GemmKernel kGemm = {
    {"gemm", "gemm_avx512", kAvx2 | kFma | kF16c | kAvx512}, kRows, 16 * kVectors, by_rows, by_products};

}  // namespace nibble::kernel::avx512
