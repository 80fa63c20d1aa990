// Bandwidth and peaks on NEON with I8MM.
#include "kernel/lanes/lanes_neon.h"
#include "kernel/memory/bandwidth.h"

namespace nibble::kernel::i8mm {

#include "kernel/memory/memory_neon.inc"

namespace {

/// Two rows of eight by two columns.
double int8_dot_peak(std::int64_t rounds) {
  const int8x16_t x = vdupq_n_s8(3);
  return run_chains(rounds, vdupq_n_s32(0), 32 * 2, [x](int32x4_t& a) {
    __asm__ volatile("usmmla %0.4s, %1.16b, %1.16b" : "+w"(a) : "w"(x));
  });
}

}  // namespace

extern const MemoryKernel kMemory;
const MemoryKernel kMemory = {{"memory", "memory_i8mm", kNeon | kDotProd | kI8mm}, read, fma_peak, int8_dot_peak};

}  // namespace nibble::kernel::i8mm
