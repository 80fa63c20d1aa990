#include "drivers.h"

#include <boost/asio/post.hpp>

namespace nibble::load {
namespace asio = boost::asio;

namespace {

/// Of a loop; handlers that come after its end find it over.
struct State {
  NextAsk next;
  std::function<void(const Answer&)> told;
  double pause = 0;
  int open = 0;
  bool is_over = false;
};

void ask_on(const std::shared_ptr<State>& state, const std::shared_ptr<Client>& client, asio::io_context& context) {
  const auto ask = state->is_over ? nullptr : state->next();
  if (ask == nullptr) {
    if (--state->open == 0) state->is_over = true;
    return;
  }
  client->ask(ask, [state, client, &context](const Answer& answer) {
    if (state->is_over) return;
    state->told(answer);
    const double pause = answer.status == 503 ? state->pause : 0;
    auto timer =
        std::make_shared<asio::steady_timer>(context, std::chrono::milliseconds(static_cast<int>(1e3 * pause)));
    timer->async_wait([state, client, &context, timer](boost::system::error_code) { ask_on(state, client, context); });
  });
}

}  // namespace

void closed_loop_on(asio::io_context& context, const Server& server, int clients, double seconds, const NextAsk& next,
                    const std::function<void(const Answer&)>& told, double pause) {
  auto state = std::make_shared<State>(State{next, told, pause, clients, false});
  std::vector<std::shared_ptr<Client>> all;
  for (int i = 0; i < clients; ++i) {
    all.push_back(std::make_shared<Client>(context, server.endpoint));
    asio::post(context, [state, client = all.back(), &context] { ask_on(state, client, context); });
  }
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  while (!state->is_over && Clock::now() < end) {
    context.restart();
    context.run_one_until(end);
  }
  state->is_over = true;
  for (const auto& client : all) client->abandon();
}

void closed_loop(const Server& server, int clients, double seconds, const NextAsk& next,
                 const std::function<void(const Answer&)>& told, double pause) {
  asio::io_context context{1};
  closed_loop_on(context, server, clients, seconds, next, told, pause);
}

int open_loop(const Server& server, const OpenLoop& loop, const NextAsk& next,
              const std::function<void(const Answer&)>& told) {
  asio::io_context context{1};
  std::vector<std::shared_ptr<Client>> idle;
  asio::steady_timer timer(context);
  const auto begin = Clock::now();
  int clients = 0;
  int asked = 0;
  const auto due = [&] {
    const double elapsed = std::chrono::duration<double>(Clock::now() - begin).count();
    return static_cast<int>(std::min(elapsed, loop.seconds) * loop.per_second);
  };
  std::function<void()> tick = [&] {
    while (asked < due() && !(idle.empty() && clients == loop.most_clients)) {
      if (idle.empty()) {
        idle.push_back(std::make_shared<Client>(context, server.endpoint));
        ++clients;
      }
      const std::shared_ptr<Client> client = idle.back();
      idle.pop_back();
      ++asked;
      client->ask(next(), [&, client](const Answer& answer) {
        told(answer);
        idle.push_back(client);
      });
    }
    if (Clock::now() - begin >= std::chrono::duration<double>(loop.seconds)) return;
    timer.expires_after(std::chrono::milliseconds(1));
    timer.async_wait([&](boost::system::error_code) { tick(); });
  };
  tick();
  context.run();
  return asked;
}

Answer ask_once(const Server& server, std::shared_ptr<const Ask> ask) {
  asio::io_context context{1};
  Answer told;
  std::make_shared<Client>(context, server.endpoint)->ask(std::move(ask), [&](const Answer& answer) { told = answer; });
  context.run();
  return told;
}

Crowd::Crowd(asio::io_context& context, const Server& server, int count, NextAsk next)
    : context_(context), next_(std::move(next)) {
  for (int i = 0; i < count; ++i) {
    clients_.push_back(std::make_shared<Client>(context, server.endpoint));
    go_on(clients_.back());
  }
}

Crowd::~Crowd() {
  *is_over_ = true;
  for (const auto& client : clients_) client->abandon();
  context_.restart();
  context_.poll();
}

void Crowd::go_on(const std::shared_ptr<Client>& client) {
  client->ask(next_(), [this, client, is_over = is_over_](const Answer&) {
    if (*is_over) return;
    client->close();
    asio::post(context_, [this, client, is_over] {
      if (!*is_over) go_on(client);
    });
  });
}

}  // namespace nibble::load
