// What work on hostile input costs in memory: bytes asked of operator new. (Processor time: base/cpu_time.h.)
#pragma once

#include <atomic>
#include <cstddef>

namespace nibble {

inline std::atomic<std::size_t> g_allocated{0};

/// Bytes asked of operator new so far, in a program with base/testing/counted_new.h; 0 under sanitizers.
inline std::size_t allocated_bytes() { return g_allocated.load(std::memory_order_relaxed); }

}  // namespace nibble
