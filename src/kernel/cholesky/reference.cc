// Elimination on two lanes of any processor.
#include "kernel/cholesky/cholesky.h"

namespace nibble::kernel::reference {
namespace {

constexpr int kLanes = 2;
typedef double D __attribute__((vector_size(8 * kLanes)));

}  // namespace

#include "kernel/cholesky/cholesky.inc"

extern const CholeskyKernel kCholesky;
const CholeskyKernel kCholesky = {{"cholesky", "cholesky_reference", 0}, eliminate};

}  // namespace nibble::kernel::reference
