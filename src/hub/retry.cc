// Exponential waiting.
#include "hub/retry.h"

#include <algorithm>
#include <charconv>
#include <thread>

#include "base/log.h"
#include "base/utf8.h"

namespace nibble {
namespace {

using Milliseconds = std::chrono::milliseconds;

/// Retry-After in seconds; dates are not looked at.
Milliseconds asked_wait(const HttpResponse& response) {
  const std::string& text = response.header("retry-after");
  int seconds = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), seconds);
  const bool valid = parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && seconds > 0;
  return Milliseconds(valid ? std::min(seconds, 100'000) * 1000LL : 0LL);
}

std::string reason_of(const HttpResponse& response) {
  if (!response.broken.empty()) return printable(response.broken);
  return fmt::format("the server answered {}", response.status);
}

}  // namespace

bool may_pass(const HttpResponse& response) {
  return !response.broken.empty() || response.status == 408 || response.status == 429 || response.status == 500 ||
         (response.status >= 502 && response.status <= 504);
}

Status Retry::wait(const std::string& what, const HttpResponse& response) {
  if (++failures_ >= policy_.tries)
    return fail(ErrorCode::kIo, "{}: {}; gave up after {} tries, pull again later", what, reason_of(response),
                failures_);
  const Milliseconds doubled = policy_.first_wait * (1LL << std::min(failures_ - 1, 20));
  const Milliseconds total = std::min(std::max(doubled, asked_wait(response)), policy_.longest_wait);
  if (total >= Milliseconds(1000))
    log_info("{}: {}; trying again in {} s", what, reason_of(response), total.count() / 1000);
  for (Milliseconds waited{0}; waited < total; waited += Milliseconds(100)) {
    if (!keep_going_()) return fail(ErrorCode::kCancelled, "{}: stopped", what);
    std::this_thread::sleep_for(std::min(Milliseconds(100), total - waited));
  }
  return {};
}

}  // namespace nibble
