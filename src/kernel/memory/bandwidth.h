// What this machine gives: memory bandwidth and arithmetic peaks, the denominators of every percentage we print.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "kernel/kernel_info.h"

namespace nibble::kernel {

/// Best of `repeats` reads of a buffer by all the pool's threads, in GB/s (10^9 bytes); 0 when there is no memory for
/// it. The buffer asks for 2 MiB pages. Threads stream pieces of 16 MiB, one after the other; every byte is used.
double measure_read_bandwidth(ThreadPool& pool, std::size_t buffer_bytes = std::size_t{2} << 30, int repeats = 5);

/// Best float32 fused multiply-add rate from registers, all threads, in GFLOP/s (a fused step counts two).
double measure_fma_peak(ThreadPool& pool);

/// Best rate of 8-bit integer dot products from registers, all threads, in GOP/s (a product and its sum count two).
double measure_int8_dot_peak(ThreadPool& pool);

struct MemoryKernel {
  KernelInfo info;
  /// Reads n bytes, a multiple of 512, 64-byte aligned; the return value depends on all of them.
  std::uint64_t (*read)(const std::byte* data, std::size_t n);
  /// `rounds` rounds of independent steps in registers; returns the operations done.
  double (*fma)(std::int64_t rounds);
  double (*int8_dot)(std::int64_t rounds);
};

/// All kernels in this build, slowest first.
std::span<const MemoryKernel* const> memory_kernels();

}  // namespace nibble::kernel
