// Ways to ask: so many at once, or so many in a second.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "client.h"
#include "tally.h"

namespace nibble::load {

struct Server {
  boost::asio::ip::tcp::endpoint endpoint;
  int pid = 0;  ///< 0: not known
};

/// The next request; null: no more.
using NextAsk = std::function<std::shared_ptr<const Ask>()>;

/// `clients` of them, each asks again when it has its answer (after a refusal, `pause` seconds later); until there are
/// no more requests, or the time is over: then what is under way is not waited for. `told` hears of every answer.
void closed_loop(const Server& server, int clients, double seconds, const NextAsk& next,
                 const std::function<void(const Answer&)>& told, double pause = 0);

struct OpenLoop {
  double per_second = 0;
  double seconds = 0;
  int most_clients = 4000;
};
/// Asks at that rate whatever the answers are, and waits for them all. How many were asked in time.
int open_loop(const Server& server, const OpenLoop& loop, const NextAsk& next,
              const std::function<void(const Answer&)>& told);

/// One request on a connection of its own.
Answer ask_once(const Server& server, std::shared_ptr<const Ask> ask);

/// Clients that behave badly as long as it lives, each again and again. They live on the context of the good ones.
class Crowd {
 public:
  Crowd(boost::asio::io_context& context, const Server& server, int count, NextAsk next);
  ~Crowd();

 private:
  void go_on(const std::shared_ptr<Client>& client);

  boost::asio::io_context& context_;
  NextAsk next_;
  std::vector<std::shared_ptr<Client>> clients_;
  std::shared_ptr<bool> is_over_ = std::make_shared<bool>(false);
};

/// As above, on a context that others use too; runs it until the loop is over.
void closed_loop_on(boost::asio::io_context& context, const Server& server, int clients, double seconds,
                    const NextAsk& next, const std::function<void(const Answer&)>& told, double pause = 0);

}  // namespace nibble::load
