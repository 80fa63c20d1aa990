// Activations of gated and plain MLPs, and the few other elementwise steps between matrix products.
#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "kernel/kernel_info.h"

namespace nibble::kernel {

/// silu(x) = x / (1 + e^-x); gelu_tanh(x) = x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2;
/// gelu_erf(x) = x (1 + erf(x / sqrt 2)) / 2; relu(x) = max(0, x).
///
/// Accuracy, relative: silu and gelu_erf a few ulp over the whole range down to e^-87, gelu_tanh a few ulp times
/// (1 + |its exponent|) in the negative tail; below e^-87 the result is -0. NaN gives NaN.
enum class Activation : std::uint8_t { kSilu, kGeluTanh, kGeluErf, kRelu };

/// out[t, i] = act(gate[t, i]) * up[t, i]; up null: out = act(gate).
///
/// gate, up, out  [tokens, n], rows ld_gate, ld_up, ld_out apart; out may be gate or up itself (same pointer and ld),
///                otherwise overlaps neither. Equal bits on every instruction set and for any number of threads.
void gated_activation(Activation act, const float* gate, const float* up, std::int64_t tokens, std::int64_t n,
                      std::int64_t ld_gate, std::int64_t ld_up, float* out, std::int64_t ld_out, ThreadPool& pool);

/// out[i] = x[i] + y[i], i < n; out may be x.
void add(const float* x, const float* y, std::int64_t n, float* out, ThreadPool& pool);

/// x[i] += y[i] * factor, rounded twice; the sum of experts.
void add_scaled(float* x, const float* y, float factor, std::int64_t n, ThreadPool& pool);

/// x[i] *= factor.
void scale(float* x, float factor, std::int64_t n, ThreadPool& pool);

/// x[i] = cap * tanh(x[i] / cap), computed with 1 / cap; the final logits of Gemma. cap > 0.
void softcap(float* x, float cap, std::int64_t n, ThreadPool& pool);

/// One run of n values each; out may be an input.
struct ActivationKernel {
  KernelInfo info;
  void (*gated)(Activation act, const float* gate, const float* up, std::int64_t n, float* out);
  void (*add_scaled)(float* x, const float* y, float factor, std::int64_t n);  ///< factor 1 adds exactly
  void (*scale)(float* x, float factor, std::int64_t n);
  void (*softcap)(float* x, float cap, std::int64_t n);
};

/// All kernels in this build, slowest first.
std::span<const ActivationKernel* const> activation_kernels();

}  // namespace nibble::kernel
