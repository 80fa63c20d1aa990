// The way of an engine's events to the thread of an exchange.
#pragma once

#include <memory>
#include <utility>

#include "exchange.h"
#include "nibble/engine.h"

namespace nibble::server {

/// What an engine holds of a request. Its thread lets go of it, but only the exchange's thread may end the owner.
template <typename Owner>
class EngineLink {
 public:
  EngineLink(std::shared_ptr<Owner> owner, Exchange& exchange) : owner_(std::move(owner)), exchange_(exchange) {}
  ~EngineLink() {
    exchange_.post([last = std::move(owner_)] {});
  }
  EngineLink(const EngineLink&) = delete;
  EngineLink& operator=(const EngineLink&) = delete;

  /// Has owner.on_event(answer, event) called on the exchange's thread.
  void pass(std::size_t answer, Event event) {
    auto shared = std::make_shared<Event>(std::move(event));
    exchange_.post([owner = owner_, answer, shared] { owner->on_event(answer, *shared); });
  }

 private:
  std::shared_ptr<Owner> owner_;
  Exchange& exchange_;  ///< the owner holds it
};

template <typename Owner>
EventSink sink_of(std::shared_ptr<Owner> owner, Exchange& exchange, std::size_t answer) {
  auto link = std::make_shared<EngineLink<Owner>>(std::move(owner), exchange);
  return [link, answer](Event event) { link->pass(answer, std::move(event)); };
}

}  // namespace nibble::server
