// For kernel tests: an array that ends where an unreadable page begins, seeded numbers, and equality of bits.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "kernel/kernel_info.h"

namespace nibble::kernel::testing {

/// `count` values of T right before a page that faults when touched.
template <typename T>
class Guarded {
 public:
  explicit Guarded(std::size_t count) : count_(count) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t bytes = (count * sizeof(T) + page - 1) / page * page;
    size_ = bytes + page;
    base_ = static_cast<std::byte*>(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED || mprotect(base_ + bytes, page, PROT_NONE) != 0) std::abort();
    data_ = reinterpret_cast<T*>(base_ + bytes - count * sizeof(T));
  }
  explicit Guarded(const std::vector<T>& values) : Guarded(values.size()) {
    if (!values.empty()) std::memcpy(data_, values.data(), values.size() * sizeof(T));
  }
  ~Guarded() { munmap(base_, size_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  T* data() { return data_; }
  std::span<T> span() { return {data_, count_}; }

 private:
  std::size_t count_;
  std::size_t size_ = 0;
  std::byte* base_ = nullptr;
  T* data_ = nullptr;
};

/// Seeded numbers (SplitMix64), equal on every machine.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : state_(seed) {}
  std::uint64_t bits() {
    state_ += 0x9E3779B97F4A7C15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  /// Uniform in [low, high).
  float uniform(float low, float high) { return low + (high - low) * (static_cast<float>(bits() >> 40) * 0x1p-24f); }
  std::vector<float> values(std::size_t count, float low, float high) {
    std::vector<float> v(count);
    for (float& x : v) x = uniform(low, high);
    return v;
  }

 private:
  std::uint64_t state_;
};

/// Bits are equal, or both are NaN.
inline bool same(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) || (std::isnan(a) && std::isnan(b));
}

inline ::testing::AssertionResult same_bits(std::span<const float> got, std::span<const float> expected) {
  if (got.size() != expected.size()) return ::testing::AssertionFailure() << "sizes differ";
  for (std::size_t i = 0; i < got.size(); ++i)
    if (!same(got[i], expected[i]))
      return ::testing::AssertionFailure() << "at " << i << ": " << got[i] << " instead of " << expected[i];
  return ::testing::AssertionSuccess();
}

/// Names the kernels that this machine cannot run; true when there is one. Tests end with GTEST_SKIP then, after the
/// others were tested.
template <typename Kernel>
std::string skipped_kernels(std::span<const Kernel* const> kernels) {
  std::string names;
  for (const Kernel* kernel : kernels)
    if (!can_run(kernel->info, detected_cpu_features()))
      names += std::string(names.empty() ? "" : ", ") + kernel->info.name;
  return names;
}

}  // namespace nibble::kernel::testing
