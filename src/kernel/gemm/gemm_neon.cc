// Tiles of float products on NEON.
#include "kernel/gemm/gemm.h"
#include "kernel/lanes/lanes_neon.h"

namespace nibble::kernel::neon {
namespace {

constexpr int kRows = 6;
constexpr int kVectors = 1;

}  // namespace

#include "kernel/gemm/gemm_lanes.inc"

extern const GemmKernel kGemm;
const GemmKernel kGemm = {{"gemm", "gemm_neon", kNeon}, kRows, 16 * kVectors, by_rows, by_products};

}  // namespace nibble::kernel::neon
