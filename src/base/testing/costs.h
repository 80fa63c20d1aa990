// What work on hostile input costs: processor time, and bytes asked of operator new. Replaces the operators, so include
// it in one source of a program only.
#pragma once

#include <time.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

// Sanitizers bring their own allocator, and their own limit on it.
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

/// Bytes asked of operator new so far; 0 under sanitizers.
inline std::size_t allocated_bytes() { return g_allocated.load(std::memory_order_relaxed); }

/// Processor time of this thread.
inline double cpu_seconds() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace nibble

#if !NIBBLE_SANITIZED  // not inlined: the compiler would see free() meet new
__attribute__((noinline)) void* operator new(std::size_t size) {
  nibble::g_allocated.fetch_add(size, std::memory_order_relaxed);
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
__attribute__((noinline)) void operator delete(void* memory) noexcept { std::free(memory); }
__attribute__((noinline)) void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif
