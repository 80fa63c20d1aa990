// Ops that let another Ops do the work and show an observer what every linear multiplies: how calibration statistics
// are gathered without a second copy of any architecture.
#pragma once

#include <functional>
#include <memory>

#include "model/ops.h"
#include "run/cpu_executor.h"

namespace nibble {

/// `linears` share the input x, [tokens, width] row-major, valid during the call.
using LinearObserver =
    std::function<void(std::span<const LinearId> linears, std::span<const float> x, std::int64_t width)>;

/// For CpuExecutor::Options::wrap_ops.
OpsWrapper recording_ops(LinearObserver observer);

}  // namespace nibble
