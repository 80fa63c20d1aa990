// Elimination on eight lanes of AVX-512.
#include "kernel/cholesky/cholesky.h"

namespace nibble::kernel::avx512 {
namespace {

constexpr int kLanes = 8;
typedef double D __attribute__((vector_size(8 * kLanes)));

}  // namespace

#include "kernel/cholesky/cholesky.inc"

extern const CholeskyKernel kCholesky;
const CholeskyKernel kCholesky = {{"cholesky", "cholesky_avx512", kAvx2 | kFma | kF16c | kAvx512}, eliminate};

}  // namespace nibble::kernel::avx512
