// Root-mean-square and layer normalization of rows of float32.
#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "kernel/kernel_info.h"

namespace nibble::kernel {

/// out[t, i] = x[t, i] * rsqrt(mean(x[t]^2) + eps) * weight[i]       (weight_plus_one: * (1 + weight[i]))
///
/// x       [tokens, n] float32, row t at x + t * ld_x
/// weight  [n] float32; null means all ones, without a product
/// out     [tokens, n], row t at out + t * ld_out; may be x itself (same pointer and ld), otherwise does not overlap it
/// The squares are added in float32 in 64 interleaved lanes (lane j: x[j], x[j + 64], ...; fused), the lanes in a fixed
/// tree; then 1 / sqrt(sum / n + eps), (x * that) * weight. The same bits for every instruction set, any threads, and
/// any number of rows. For q and k norms pass every head as a row.
void rms_norm(const float* x, std::int64_t tokens, std::int64_t n, std::int64_t ld_x, const float* weight, float eps,
              bool weight_plus_one, float* out, std::int64_t ld_out, ThreadPool& pool);

/// out[t, i] = (x[t, i] - mean) * rsqrt(var + eps) * weight[i] + bias[i], var = mean((x - mean)^2)
/// bias may be null. Otherwise as rms_norm; sums in the same order, the variance in a second pass, the last step fused.
void layer_norm(const float* x, std::int64_t tokens, std::int64_t n, std::int64_t ld_x, const float* weight,
                const float* bias, float eps, float* out, std::int64_t ld_out, ThreadPool& pool);

/// One row each.
struct NormKernel {
  KernelInfo info;
  void (*rms_norm)(const float* x, std::int64_t n, const float* weight, float eps, bool weight_plus_one, float* out);
  void (*layer_norm)(const float* x, std::int64_t n, const float* weight, const float* bias, float eps, float* out);
};

/// All kernels in this build, slowest first.
std::span<const NormKernel* const> norm_kernels();

}  // namespace nibble::kernel
