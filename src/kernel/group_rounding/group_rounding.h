// Round-to-nearest of groups of weights: their ranges, and codes under scales that are known. What is done to every
// weight of a model that is quantized without a search.
#pragma once

#include <cstdint>
#include <span>

#include "kernel/kernel_info.h"

namespace nibble::kernel {

/// Groups of `size` weights that follow each other, each under a scale of its own.
struct ScaledGroups {
  const float* x = nullptr;  ///< [groups, size], finite
  std::int64_t groups = 0;
  std::int64_t size = 0;
  const float* scales = nullptr;  ///< [groups], finite and not 0
};

/// The codes of a table in the order of their values.
struct CodeSteps {
  const float* bounds = nullptr;  ///< [count - 1], ascending: above bounds[i] codes[i + 1] is nearer than codes[i]
  const std::uint8_t* codes = nullptr;  ///< [count]
  int count = 1;
};

struct GroupRoundingKernel {
  KernelInfo info;
  /// low[g] = the least of 0 and the weights of group g, high[g] = the largest; 0 is positive.
  void (*ranges)(const float* x, std::int64_t groups, std::int64_t size, float* low, float* high) noexcept;
  /// code = clamp(q + shifts[g], low, high), where q = x / scale in float32, kept within 512 of 0 and rounded to the
  /// nearest integer, halves to even. |shifts| < 512, 0 <= low <= high <= 255, whole numbers.
  void (*integers)(const ScaledGroups& in, const float* shifts, float low, float high, std::uint8_t* codes) noexcept;
  /// code = steps.codes[how many of steps.bounds are below x / scale]
  void (*entries)(const ScaledGroups& in, const CodeSteps& steps, std::uint8_t* codes) noexcept;
};

/// All kernels in this build, slowest first. Equal results on every instruction set.
std::span<const GroupRoundingKernel* const> group_rounding_kernels();

/// The kernel for this machine.
const GroupRoundingKernel& group_rounding_kernel();

}  // namespace nibble::kernel
