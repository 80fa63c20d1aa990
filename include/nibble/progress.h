// How long work reports where it is. The library calls it; a client draws a bar or prints lines.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace nibble {

/// `done` of `total` units ("bytes", ...) of the task `what`. Called on the thread that asked for the work, often; must
/// be cheap. Returning false asks the work to stop with ErrorCode::kCancelled.
using Progress =
    std::function<bool(std::string_view what, std::uint64_t done, std::uint64_t total, std::string_view unit)>;

}  // namespace nibble
