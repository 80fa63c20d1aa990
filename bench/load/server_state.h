// What a server holds: by its own metrics, and by what the system knows of its process.
#pragma once

#include <string>

#include "drivers.h"

namespace nibble::load {

struct ServerState {
  double running = -1, waiting = -1;  ///< requests; -1: not known
  double connections = -1;            ///< the one that asks is among them
  double generated_tokens = -1;
  double rss_mb = -1;
  int files = -1;
};

ServerState state_of(const Server& server);
/// The state once nothing is under way any more, or after some seconds whatever it is then.
ServerState idle_state_of(const Server& server, double patience = 20);
/// The process that listens on this machine's port; 0 if it cannot be found.
int process_of_port(int port);

}  // namespace nibble::load
