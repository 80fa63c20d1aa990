// The measuring loops: first touch, repetition, the best time.
#include "kernel/memory/bandwidth.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

namespace nibble::kernel {

namespace reference {
extern const MemoryKernel kMemory;
}
namespace avx2 {
extern const MemoryKernel kMemory;
}
namespace avx512 {
extern const MemoryKernel kMemory;
}
namespace neon {
extern const MemoryKernel kMemory;
}
namespace dotprod {
extern const MemoryKernel kMemory;
}
namespace i8mm {
extern const MemoryKernel kMemory;
}

std::span<const MemoryKernel* const> memory_kernels() {
  static constexpr const MemoryKernel* kKernels[] = {
    &reference::kMemory,
#if defined(__x86_64__)
    &avx2::kMemory,
    &avx512::kMemory
#elif defined(__aarch64__)
    &neon::kMemory,
    &dotprod::kMemory,
    &i8mm::kMemory
#endif
  };
  return kKernels;
}

namespace {

constexpr std::size_t kPiece = std::size_t{16} << 20;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

const MemoryKernel& chosen() { return best_kernel(memory_kernels(), cpu_features()); }

/// Best operations per second, in 10^9, of many small pieces on all threads.
double measure_rate(ThreadPool& pool, double (*body)(std::int64_t)) {
  constexpr std::int64_t kRounds = 200000;
  constexpr int kRepeats = 7;
  const auto pieces = static_cast<std::size_t>(pool.threads()) * 8;
  double best = 0;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    std::atomic<double> operations{0};
    const double start = seconds_now();
    pool.run(pieces, 1, [&](std::size_t begin, std::size_t end, int) {
      for (std::size_t i = begin; i < end; ++i) operations.fetch_add(body(kRounds));
    });
    best = std::max(best, operations.load() / (seconds_now() - start));
  }
  return best * 1e-9;
}

}  // namespace

double measure_read_bandwidth(ThreadPool& pool, std::size_t buffer_bytes, int repeats) {
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  const std::size_t pieces = std::max<std::size_t>(1, buffer_bytes / kPiece);
  const std::size_t bytes = pieces * kPiece;
  const std::size_t mapped = bytes + kHugePage;  // room to begin at a huge page
  void* memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 0.0;
  madvise(memory, mapped, MADV_HUGEPAGE);  // a wish: without it the pages are small and the result lower
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  std::byte* data = static_cast<std::byte*>(memory) + ((kHugePage - address % kHugePage) % kHugePage);
  // Written, since a page that was only read is the shared page of zeros.
  pool.run(pieces, 1, [&](std::size_t begin, std::size_t end, int) {
    std::memset(data + begin * kPiece, 1, (end - begin) * kPiece);
  });
  const MemoryKernel& kernel = chosen();
  std::atomic<std::uint64_t> used{0};
  double best = 0;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    const double start = seconds_now();
    pool.run(pieces, 1, [&](std::size_t begin, std::size_t end, int) {
      used.fetch_add(kernel.read(data + begin * kPiece, (end - begin) * kPiece), std::memory_order_relaxed);
    });
    best = std::max(best, static_cast<double>(bytes) / (seconds_now() - start));
  }
  munmap(memory, mapped);
  return best * 1e-9;
}

double measure_fma_peak(ThreadPool& pool) { return measure_rate(pool, chosen().fma); }

double measure_int8_dot_peak(ThreadPool& pool) { return measure_rate(pool, chosen().int8_dot); }

}  // namespace nibble::kernel
