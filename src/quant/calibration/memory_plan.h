// How much of the memory that a run may use is left for activations.
#pragma once

#include <cstdint>
#include <filesystem>

#include "model/model_weights.h"
#include "quant/calibration/activation_store.h"
#include "quant/calibration/block_runner.h"

namespace nibble {

/// Options of a store such that calibrating on windows of `window` tokens keeps to `max_memory` bytes resident (0: no
/// bound); activations wait beside `output`. An error, with the least that is enough, where the rest of the work alone
/// needs more.
Result<ActivationStore::Options> plan_memory(const ModelWeights& weights, std::int64_t window, std::uint64_t max_memory,
                                             const std::filesystem::path& output);

}  // namespace nibble
