// Processor time, for limits and tests that other processes on the machine must not disturb.
#pragma once

#include <ctime>

namespace nibble {

/// Seconds that the calling thread has run so far.
inline double thread_cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace nibble
