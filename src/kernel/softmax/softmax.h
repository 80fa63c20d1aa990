// Softmax over rows: router weights, and probabilities from logits; and the largest of logits, block by block.
#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "kernel/kernel_info.h"

namespace nibble::kernel {

/// out[t, i] = e^(x[t, i] - max) / sum of the row's
///
/// x, out  [rows, n] float32, rows ld apart, n >= 1; out may be x itself (same pointer and ld)
/// Terms within 1 ulp, 0 where x is more than 87 below the largest; added in 64 interleaved lanes and a fixed tree,
/// then divided. Equal bits on every instruction set, any threads. A NaN, or only -infinity, in a row makes it NaN.
void softmax(const float* x, std::int64_t rows, std::int64_t n, std::int64_t ld_x, float* out, std::int64_t ld_out,
             ThreadPool& pool);

constexpr std::int64_t kMaximaBlock = 64;  ///< numbers of which SoftmaxKernel::maxima finds the largest

struct SoftmaxKernel {
  KernelInfo info;
  void (*row)(const float* x, std::int64_t n, float* out);
  /// maxima [ceil(n / kMaximaBlock)] = the largest of every kMaximaBlock of x [n]. False, and some of them undefined,
  /// where a NaN or infinity is among x; -infinity is a number like others.
  bool (*maxima)(const float* x, std::int64_t n, float* maxima);
};

/// All kernels in this build, slowest first.
std::span<const SoftmaxKernel* const> softmax_kernels();
/// The fastest that runs here.
const SoftmaxKernel& best_softmax();

}  // namespace nibble::kernel
