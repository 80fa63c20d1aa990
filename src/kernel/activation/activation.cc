// Choice of the activation kernel and the loops over rows and pieces.
#include "kernel/activation/activation.h"

#include <algorithm>

#include "base/check.h"

namespace nibble::kernel {

namespace reference {
extern const ActivationKernel kActivation;
}
namespace avx2 {
extern const ActivationKernel kActivation;
}
namespace avx512 {
extern const ActivationKernel kActivation;
}
namespace neon {
extern const ActivationKernel kActivation;
}

std::span<const ActivationKernel* const> activation_kernels() {
  static constexpr const ActivationKernel* kKernels[] = {
    &reference::kActivation,
#if defined(__x86_64__)
    &avx2::kActivation,
    &avx512::kActivation
#elif defined(__aarch64__)
    &neon::kActivation
#endif
  };
  return kKernels;
}

namespace {

/// Values per piece of a row of a gated activation: 16 KiB of each operand. A row is cut only at multiples of it.
constexpr std::int64_t kPiece = 4096;

/// Values per piece where there is one step for each: a few tokens of a small model stay with one thread, as what the
/// other had done would first have to come from its cache.
constexpr std::int64_t kLongPiece = 8192;

const ActivationKernel& chosen() {
  static const ActivationKernel& kernel = best_kernel(activation_kernels(), cpu_features());
  return kernel;
}

/// body(begin, count) for the pieces of n values.
template <typename F>
void for_pieces(std::int64_t n, ThreadPool& pool, F&& body) {
  pool.run(static_cast<std::size_t>(n), kLongPiece, [&](std::size_t begin, std::size_t end, int) {
    body(static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end - begin));
  });
}

}  // namespace

void gated_activation(Activation act, const float* gate, const float* up, std::int64_t tokens, std::int64_t n,
                      std::int64_t ld_gate, std::int64_t ld_up, float* out, std::int64_t ld_out, ThreadPool& pool) {
  NIBBLE_CHECK(tokens >= 0 && n >= 0);
  const ActivationKernel& kernel = chosen();
  const std::int64_t pieces = (n + kPiece - 1) / kPiece;
  pool.run(static_cast<std::size_t>(tokens * pieces), 1, [&](std::size_t first, std::size_t last, int) {
    for (auto item = static_cast<std::int64_t>(first); item < static_cast<std::int64_t>(last); ++item) {
      const std::int64_t t = item / pieces;
      const std::int64_t i = item % pieces * kPiece;
      kernel.gated(act, gate + t * ld_gate + i, up == nullptr ? nullptr : up + t * ld_up + i, std::min(kPiece, n - i),
                   out + t * ld_out + i);
    }
  });
}

void add(const float* x, const float* y, std::int64_t n, float* out, ThreadPool& pool) {
  const ActivationKernel& kernel = chosen();
  for_pieces(n, pool, [&](std::int64_t i, std::int64_t count) {
    if (out != x) std::copy_n(x + i, count, out + i);
    kernel.add_scaled(out + i, y + i, 1.0f, count);
  });
}

void add_scaled(float* x, const float* y, float factor, std::int64_t n, ThreadPool& pool) {
  const ActivationKernel& kernel = chosen();
  for_pieces(n, pool, [&](std::int64_t i, std::int64_t count) { kernel.add_scaled(x + i, y + i, factor, count); });
}

void scale(float* x, float factor, std::int64_t n, ThreadPool& pool) {
  const ActivationKernel& kernel = chosen();
  for_pieces(n, pool, [&](std::int64_t i, std::int64_t count) { kernel.scale(x + i, factor, count); });
}

void softcap(float* x, float cap, std::int64_t n, ThreadPool& pool) {
  NIBBLE_CHECK(cap > 0.0f);
  const ActivationKernel& kernel = chosen();
  for_pieces(n, pool, [&](std::int64_t i, std::int64_t count) { kernel.softcap(x + i, cap, count); });
}

}  // namespace nibble::kernel
