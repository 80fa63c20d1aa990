// Tiles of the Gram matrix on AVX-512.
#include "kernel/gram/gram.h"
#include "kernel/lanes/lanes_avx512.h"

namespace nibble::kernel::avx512 {
namespace {

constexpr int kRows = 8;
constexpr int kVectors = 2;

}  // namespace

#include "kernel/gram/gram_lanes.inc"

extern const GramKernel kGram;
const GramKernel kGram = {{"gram", "gram_avx512", kAvx2 | kFma | kF16c | kAvx512}, tile};

}  // namespace nibble::kernel::avx512
