// Elimination on four lanes of AVX2.
#include "kernel/cholesky/cholesky.h"

namespace nibble::kernel::avx2 {
namespace {

constexpr int kLanes = 4;
typedef double D __attribute__((vector_size(8 * kLanes)));

}  // namespace

#include "kernel/cholesky/cholesky.inc"

extern const CholeskyKernel kCholesky;
const CholeskyKernel kCholesky = {{"cholesky", "cholesky_avx2", kAvx2 | kFma | kF16c}, eliminate};

}  // namespace nibble::kernel::avx2
