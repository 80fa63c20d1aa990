// Waiting before the next try of something that failed for a reason that may pass.
#pragma once

#include <chrono>

#include "hub/http.h"

namespace nibble {

struct RetryPolicy {
  int tries = 6;                                       ///< in a row without progress
  std::chrono::milliseconds first_wait{1000};          ///< doubled each time
  std::chrono::milliseconds longest_wait{120 * 1000};  ///< also of what a server asks for (Retry-After)
};

/// A broken connection, a server that is busy or has an error of its own.
bool may_pass(const HttpResponse& response);

/// Counts the tries of one thing.
class Retry {
 public:
  Retry(RetryPolicy policy, const KeepGoing& keep_going) : policy_(policy), keep_going_(keep_going) {}

  /// Waits as long as the policy or the server says. Fails with kIo, naming `what` and the last response, when there
  /// were tries enough, and with kCancelled.
  Status wait(const std::string& what, const HttpResponse& response);
  /// There was progress: the count starts again.
  void reset() { failures_ = 0; }

 private:
  RetryPolicy policy_;
  const KeepGoing& keep_going_;
  int failures_ = 0;
};

}  // namespace nibble
