// The situations that a server is put in, and the figures that come of them.
#pragma once

#include "server_state.h"
#include "tally.h"

namespace nibble::load {

struct Settings {
  Server server;
  int clients = 8;
  int requests = 0;    ///< 0: the scenario's own number
  double seconds = 0;  ///< 0: the scenario's own time
  double rate = 0;     ///< requests per second, instead of a number of clients
  int tokens = 32;     ///< of an answer
  int prompt_bytes = 64;
  bool stream = true;
  double capacity = 0;  ///< requests per second that the server can answer; 0: measured first
  std::uint64_t seed = 1;
};

/// What is asked for by the settings.
Report plain(const Settings& settings);
/// Time to the first byte and to the first text of one client at a time.
Report first_byte(const Settings& settings);
/// 1,000 streams at once until there were 10,000.
Report streams(const Settings& settings);
/// The time that refusals take at ten times of what the server can answer, and what it still answers at 1 to 10 times.
Report overload(const Settings& settings);
/// 1,000 clients that die at any moment; what is left of them.
Report disconnects(const Settings& settings);
/// 500 clients that send their headers byte by byte, 500 that read so; what becomes of the good ones.
Report slow(const Settings& settings);
/// Tokens per second of 8 streams together and of one alone.
Report batching(const Settings& settings);
/// All kinds of requests and deaths for a long time; memory and files.
Report soak(const Settings& settings);

}  // namespace nibble::load
