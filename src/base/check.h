// Checks for our own mistakes. No file and no request may be able to fail one: what comes from outside returns an
// Error.
#pragma once

#include <stdexcept>
#include <string>

namespace nibble {

/// Thrown by NIBBLE_CHECK: a defect in Nibble. Stops at the public boundary.
class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] inline void check_failed(const char* condition, const char* file, int line) {
  throw InternalError(std::string(file) + ":" + std::to_string(line) + ": check failed: " + condition);
}

}  // namespace nibble

/// Always on. At the entry of an operation, never in an inner loop.
#define NIBBLE_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::nibble::check_failed(#condition, __FILE__, __LINE__))

/// States a precondition in debug builds only; for kernels and inner loops.
#ifdef NDEBUG
#define NIBBLE_DCHECK(condition) static_cast<void>(0)
#else
#define NIBBLE_DCHECK(condition) NIBBLE_CHECK(condition)
#endif
