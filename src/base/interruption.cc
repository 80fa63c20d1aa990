#include "base/interruption.h"

#include <utility>

namespace nibble {
namespace {

constexpr auto kPause = std::chrono::milliseconds(50);  ///< a person who presses Ctrl-C does not notice more
thread_local InterruptionScope* innermost = nullptr;

}  // namespace

InterruptionScope::InterruptionScope(std::function<bool()> go_on)
    : go_on_(std::move(go_on)), outer_(std::exchange(innermost, this)), last_(std::chrono::steady_clock::now()) {}

InterruptionScope::~InterruptionScope() { innermost = outer_; }

void InterruptionScope::look() {
  if (!go_on_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < kPause) return;
  last_ = now;
  if (go_on_()) return;
  go_on_ = nullptr;
  throw Interrupted();
}

InterruptionScope* interruption_scope() noexcept { return innermost; }

}  // namespace nibble
