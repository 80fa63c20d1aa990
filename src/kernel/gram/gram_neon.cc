// Tiles of the Gram matrix on NEON.
#include "kernel/gram/gram.h"
#include "kernel/lanes/lanes_neon.h"

namespace nibble::kernel::neon {
namespace {

constexpr int kRows = 4;
constexpr int kVectors = 1;

}  // namespace

#include "kernel/gram/gram_lanes.inc"

extern const GramKernel kGram;
const GramKernel kGram = {{"gram", "gram_neon", kNeon}, tile};

}  // namespace nibble::kernel::neon
