// Which of many grids is nearest to a group of weights: the inner loop of least-squares round-to-nearest.
#pragma once

#include <cstdint>
#include <span>

#include "kernel/kernel_info.h"

namespace nibble::kernel {

/// Grids to choose among: value = scale * (code - zero), scale * table[code] or scale * float.
struct GridTrials {
  const float* scales = nullptr;  ///< [count], finite and not 0
  const float* zeros = nullptr;   ///< [count], whole numbers: the code that stands for 0; of integer codes only
  int count = 0;
};

/// Floats of few bits without infinities.
struct GridFloats {
  float largest = 0.0f;
  float least_normal = 0.0f;  ///< a power of two: below it the values are evenly spaced
  float spacing = 0.0f;       ///< of the values from 1 to 2
};

/// The values that codes stand for: integers low .. high, a table, or floats.
struct GridCodes {
  float low = 0.0f;  ///< |low|, |high| and |zeros| below 512
  float high = 0.0f;
  const float* table = nullptr;  ///< null: integers, or floats
  int entries = 0;
  const GridFloats* floats = nullptr;
};

struct GridSearchKernel {
  KernelInfo info;
  /// The first trial of least error; -1 where no error is below infinity.
  /// error(trial) = sum over i in order, in double, of (x[i] - scale * value)^2 where x[i] / scale (in float32) takes
  /// the nearest value: integers and floats round halves to even and are clamped, tables give ties to the lower code.
  /// x: [n], finite. Equal results on every instruction set.
  int (*search)(const float* x, std::int64_t n, const GridTrials& trials, const GridCodes& codes) noexcept;
};

/// All kernels in this build, slowest first.
std::span<const GridSearchKernel* const> grid_search_kernels();

/// The kernel for this machine.
const GridSearchKernel& grid_search_kernel();

}  // namespace nibble::kernel
