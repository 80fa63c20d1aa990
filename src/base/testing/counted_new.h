// Replaces operator new by one that counts (base/testing/costs.h). For one source of a program only.
#pragma once

#include <cstdlib>
#include <new>

#include "base/testing/costs.h"

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

#if !NIBBLE_SANITIZED  // not inlined: the compiler would see free() meet new
__attribute__((noinline)) void* operator new(std::size_t size) {
  nibble::g_allocated.fetch_add(size, std::memory_order_relaxed);
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
__attribute__((noinline)) void operator delete(void* memory) noexcept { std::free(memory); }
__attribute__((noinline)) void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif
