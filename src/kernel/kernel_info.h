// What `nibble info` says of a kernel, and the one rule that selects a kernel. A kernel is a plain struct of function
// pointers whose member `info` is a KernelInfo; every operation has a list of its kernels, slowest first.
#pragma once

#include <span>

#include "base/cpu_features.h"

namespace nibble::kernel {

struct KernelInfo {
  const char* operation;  ///< "rms_norm", "attention" ...
  const char* name;       ///< unique: operation and instruction set, "rms_norm_avx2"
  CpuFeatures needs;      ///< all bits are required
};

inline bool can_run(const KernelInfo& info, CpuFeatures has) noexcept { return (info.needs & ~has) == 0; }

/// The last kernel of the list that a machine with features `has` can run. The first needs nothing.
template <typename Kernel>
const Kernel& best_kernel(std::span<const Kernel* const> kernels, CpuFeatures has) noexcept {
  const Kernel* best = kernels.front();
  for (const Kernel* kernel : kernels)
    if (can_run(kernel->info, has)) best = kernel;
  return *best;
}

}  // namespace nibble::kernel
