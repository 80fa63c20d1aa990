// Stopping long work at any of its loops: who started it is asked between chunks of what the thread pool runs, some
// times a second, and Interrupted unwinds the thread that started it when the answer is no.
#pragma once

#include <chrono>
#include <exception>
#include <functional>

namespace nibble {

/// Thrown from ThreadPool::run() in the thread that has an InterruptionScope. Stops at the public boundary.
class Interrupted : public std::exception {
 public:
  const char* what() const noexcept override { return "the work was stopped"; }
};

/// While this is alive, interruption_point() on the thread that made it asks `go_on`. Scopes nest; the inner one
/// counts.
class InterruptionScope {
 public:
  explicit InterruptionScope(std::function<bool()> go_on);
  ~InterruptionScope();
  InterruptionScope(const InterruptionScope&) = delete;
  InterruptionScope& operator=(const InterruptionScope&) = delete;

  /// Asks if it is time to, and throws Interrupted when the answer is no. Once, so that what destructors still have to
  /// do is done.
  void look();

 private:
  std::function<bool()> go_on_;
  InterruptionScope* outer_;
  std::chrono::steady_clock::time_point last_;
};

/// This thread's innermost scope, or null.
InterruptionScope* interruption_scope() noexcept;

}  // namespace nibble
