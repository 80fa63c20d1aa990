// 16-bit floats to float32, for what reads whole models once: quantizing and comparing.
#pragma once

#include <cstdint>
#include <span>

#include "kernel/kernel_info.h"

namespace nibble::kernel {

struct WidenKernel {
  KernelInfo info;
  /// out[i] = the f16 number half[i], exactly, i < n; a NaN is some NaN. The arrays do not overlap; no alignment.
  void (*half)(const std::uint16_t* half, std::int64_t n, float* out) noexcept;
};

/// All kernels in this build, slowest first.
std::span<const WidenKernel* const> widen_kernels();

/// The kernel for this machine.
const WidenKernel& widen_kernel();

}  // namespace nibble::kernel
