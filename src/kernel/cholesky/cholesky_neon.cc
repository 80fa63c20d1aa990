// Elimination on two lanes of NEON.
#include "kernel/cholesky/cholesky.h"

namespace nibble::kernel::neon {
namespace {

constexpr int kLanes = 2;
typedef double D __attribute__((vector_size(8 * kLanes)));

}  // namespace

#include "kernel/cholesky/cholesky.inc"

extern const CholeskyKernel kCholesky;
const CholeskyKernel kCholesky = {{"cholesky", "cholesky_neon", kNeon}, eliminate};

}  // namespace nibble::kernel::neon
