// 16-bit floats to float32 and back, for what goes over whole models once: quantizing and comparing.
#pragma once

#include <cstdint>
#include <span>

#include "kernel/kernel_info.h"

namespace nibble::kernel {

struct WidenKernel {
  KernelInfo info;
  /// out[i] = the f16 number half[i], exactly, i < n; a NaN is some NaN. The arrays do not overlap; no alignment.
  void (*half)(const std::uint16_t* half, std::int64_t n, float* out) noexcept;
  /// half[i] = the f16 number nearest to x[i], ties to even, i < n; beyond the largest infinity; a NaN is some NaN.
  void (*to_half)(const float* x, std::int64_t n, std::uint16_t* half) noexcept;
};

/// All kernels in this build, slowest first.
std::span<const WidenKernel* const> widen_kernels();

/// The kernel for this machine.
const WidenKernel& widen_kernel();

}  // namespace nibble::kernel
