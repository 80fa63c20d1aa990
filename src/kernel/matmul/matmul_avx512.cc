#include "kernel/matmul/matmul_tables.h"
namespace nibble::kernel::avx512 {
const KernelTable kMatmulKernels = {nullptr, 0, {"quantize_q8g32_avx512", 0xFFFFFFFFu, nullptr}};
}
