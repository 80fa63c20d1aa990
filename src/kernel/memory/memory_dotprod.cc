// Bandwidth and peaks on NEON with DotProd.
#include "kernel/lanes/lanes_neon.h"
#include "kernel/memory/bandwidth.h"

namespace nibble::kernel::dotprod {

#include "kernel/memory/memory_neon.inc"

namespace {

double int8_dot_peak(std::int64_t rounds) {
  const int8x16_t x = vdupq_n_s8(3);
  return run_chains(rounds, vdupq_n_s32(0), 16 * 2, [x](int32x4_t& a) {
    __asm__ volatile("sdot %0.4s, %1.16b, %1.16b" : "+w"(a) : "w"(x));
  });
}

}  // namespace

extern const MemoryKernel kMemory;
const MemoryKernel kMemory = {{"memory", "memory_dotprod", kNeon | kDotProd}, read, fma_peak, int8_dot_peak};

}  // namespace nibble::kernel::dotprod
