// What work on hostile input may cost: bytes asked of operator new, and processor time (base/cpu_time.h).
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NIBBLE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define NIBBLE_SANITIZED 1
#endif
#endif
#ifndef NIBBLE_SANITIZED
#define NIBBLE_SANITIZED 0
#endif

namespace nibble {

inline std::atomic<std::size_t> g_allocated{0};

/// Bytes asked of operator new so far, in a program with base/testing/counted_new.h; 0 under sanitizers.
inline std::size_t allocated_bytes() { return g_allocated.load(std::memory_order_relaxed); }

/// By how much a test may exceed the time that its work should take. Machines are shared and sanitizers slow, so a test
/// decides only whether time is bounded; what it was is in the test's report (Slowest).
inline constexpr double kPatience = NIBBLE_SANITIZED ? 50 : 10;

/// The longest of some times that should stay under `bound` seconds. reported() writes it into the test's XML report.
class Slowest {
 public:
  explicit Slowest(double bound) : bound_(bound) {}
  /// Whether work that took so long is bounded.
  bool bears(double seconds) {
    longest_ = std::max(longest_, seconds);
    return seconds < bound_ * kPatience;
  }
  void report() const { testing::Test::RecordProperty("slowest_us", static_cast<int>(1e6 * longest_)); }

 private:
  double bound_;
  double longest_ = 0;
};

}  // namespace nibble
