// Replaces operator new by one that counts (base/testing/costs.h). For one source of a program only.
#pragma once

#include <cstdlib>
#include <new>

#include "base/testing/costs.h"

// Sanitizers bring their own allocator, and their own limit on it.
#if !NIBBLE_SANITIZED  // not inlined: the compiler would see free() meet new
__attribute__((noinline)) void* operator new(std::size_t size) {
  nibble::g_allocated.fetch_add(size, std::memory_order_relaxed);
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
__attribute__((noinline)) void operator delete(void* memory) noexcept { std::free(memory); }
__attribute__((noinline)) void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif
