#include "kernel/matmul/matmul_tables.h"
namespace nibble::kernel::avx2 {
const KernelTable kMatmulKernels = {nullptr, 0, {"quantize_q8g32_avx2", 0xFFFFFFFFu, nullptr}};
}
