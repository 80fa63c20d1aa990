// Tiles of the Gram matrix on AVX2.
#include "kernel/gram/gram.h"
#include "kernel/lanes/lanes_avx2.h"

namespace nibble::kernel::avx2 {
namespace {

constexpr int kRows = 4;
constexpr int kVectors = 1;

}  // namespace

#include "kernel/gram/gram_lanes.inc"

extern const GramKernel kGram;
const GramKernel kGram = {{"gram", "gram_avx2", kAvx2 | kFma | kF16c}, tile};

}  // namespace nibble::kernel::avx2
