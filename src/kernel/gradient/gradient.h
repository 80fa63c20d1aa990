// Derivatives of the operations between matrix products: given the gradient of a loss by their output, that by their
// inputs. The operations themselves are in kernel/activation, norm and softmax.
#pragma once

#include <cstdint>
#include <span>

#include "kernel/activation/activation.h"
#include "kernel/kernel_info.h"

namespace nibble::kernel {

/// One run or row of n values each. Sums are added in 64 interleaved lanes and a fixed tree: the same bits on every
/// instruction set. Outputs may be inputs (same pointer), otherwise overlap nothing.
struct GradientKernel {
  KernelInfo info;

  /// Of out = act(gate) * up:  d_up = d_out * act(gate),  d_gate = d_out * up * act'(gate). The relu's is 0 at 0.
  void (*gated)(Activation act, const float* gate, const float* up, const float* d_out, std::int64_t n, float* d_gate,
                float* d_up);

  /// Of out[i] = x[i] r w[i], r = 1 / sqrt(mean(x^2) + eps), w = weight or 1 + weight:
  ///   d_x[i] = r (d_out[i] w[i] - x[i] r^2 mean(x d_out w))
  /// and d_weight[i] += d_out[i] x[i] r, unless it is null.
  void (*rms_norm)(const float* x, std::int64_t n, const float* weight, float eps, bool weight_plus_one,
                   const float* d_out, float* d_x, float* d_weight);

  /// Of p = softmax(scale * x):  d_x[i] = scale p[i] (d_p[i] - sum of p d_p)
  void (*softmax)(const float* p, const float* d_p, std::int64_t n, float scale, float* d_x);

  /// Of y = cap * tanh(x / cap):  d_x[i] = d_y[i] (1 - (y[i] / cap)^2)
  void (*softcap)(const float* y, const float* d_y, std::int64_t n, float cap, float* d_x);
};

/// All kernels in this build, slowest first.
std::span<const GradientKernel* const> gradient_kernels();

/// The kernel for this machine.
const GradientKernel& gradient_kernel();

}  // namespace nibble::kernel
