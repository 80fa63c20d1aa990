// How much of the memory that a run may use is left for activations.
#pragma once

#include <cstdint>
#include <filesystem>

#include "model/model_files.h"
#include "quant/calibration/activation_store.h"
#include "quant/calibration/block_runner.h"

namespace nibble {

/// The packed matrices of the largest block, four bytes per weight at most.
std::uint64_t block_bytes(const ModelLayout& layout);

/// What adding up the second moments of the widest input takes, for calibration windows of `window` tokens.
std::uint64_t gram_bytes(const ModelLayout& layout, std::int64_t window);

/// What quantizing the largest linear against its inputs' second moments takes.
std::uint64_t second_order_bytes(const ModelLayout& layout);

/// What the original's activations take beside the quantized model's (StreamOptions::drift), those that wait aside.
std::uint64_t second_stream_bytes(const ModelWeights& weights, std::int64_t window);

/// What the differentiating executor keeps of a token on its way through a block, values and gradients.
std::uint64_t train_bytes_of_token(const ModelConfig& config);

struct MemoryNeeds {
  std::uint64_t max_memory = 0;    ///< bytes resident; 0: no bound
  std::int64_t window = 0;         ///< tokens of a calibration window; 0: the model is not run
  std::uint64_t method_bytes = 0;  ///< what the method holds at most beside a block and a slice of activations
  std::int64_t report_window = 0;  ///< tokens of a window that the report measures on; 0: there is no report
};

/// Options of a store such that calibrating and the report keep to the bound; activations wait beside `output`. An
/// error, with the least that is enough, where the rest of the work alone needs more.
Result<ActivationStore::Options> plan_memory(const ModelWeights& weights, const MemoryNeeds& needs,
                                             const std::filesystem::path& output);

}  // namespace nibble
