// Progress that also comes while nothing new is to be said, so that a client can stop long work within a moment.
#pragma once

#include <memory>

#include "nibble/progress.h"

namespace nibble {

/// Stands in front of a client's progress, and calls it on one thread only, the one that made this: what other threads
/// report waits for it. What was said last is said again between the chunks of the thread pool's loops, and a client
/// that says no then ends the work by Interrupted. Until the first report it says "preparing", for the first time at
/// once, so that even the shortest work can be stopped.
class Heartbeat {
 public:
  /// Replaces `progress`, unless it is empty. Its copies must not be called when this is gone.
  explicit Heartbeat(Progress& progress);
  /// Says what was not said yet.
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

 private:
  class Client;
  std::unique_ptr<Client> client_;
};

}  // namespace nibble
