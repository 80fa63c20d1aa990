// Bandwidth and peaks on NEON.
#include "kernel/lanes/lanes_neon.h"
#include "kernel/memory/bandwidth.h"

namespace nibble::kernel::neon {

#include "kernel/memory/memory_neon.inc"

namespace {

/// Without DotProd a dot of quads is four instructions: products of eight bytes twice, their pairs twice.
double int8_dot_peak(std::int64_t rounds) {
  const int8x16_t x = vdupq_n_s8(3);
  return run_chains(rounds, vdupq_n_s32(0), 16 * 2, [x](int32x4_t& a) {
    int16x8_t low;
    int16x8_t high;
    __asm__ volatile(
        "smull %1.8h, %3.8b, %3.8b\n\t"
        "smull2 %2.8h, %3.16b, %3.16b\n\t"
        "addp %1.8h, %1.8h, %2.8h\n\t"
        "sadalp %0.4s, %1.8h"
        : "+w"(a), "=&w"(low), "=&w"(high)
        : "w"(x));
  });
}

}  // namespace

extern const MemoryKernel kMemory;
const MemoryKernel kMemory = {{"memory", "memory_neon", kNeon}, read, fma_peak, int8_dot_peak};

}  // namespace nibble::kernel::neon
