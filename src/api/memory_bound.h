// What a bound on memory leaves for weights, and how long batches may be under it.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "model/model_config.h"
#include "model/model_files.h"
#include "nibble/model.h"

namespace nibble {

struct RunMemory {
  std::uint64_t weights = 0;  ///< bytes
  std::uint64_t kv = 0;       ///< bytes for keys and values, also where packed ones (LoadOptions::kv_bits) need less
  std::int64_t batch_tokens = 512;   ///< CpuExecutor::Options::max_batch_tokens
  std::uint64_t around_weights = 0;  ///< everything else: the process as it is, the cache of the context, activations
};

/// Divides options.memory, for a context of so many positions. kOutOfMemory when nothing is left; the message says what
/// is needed.
Result<RunMemory> divide_memory(const ModelConfig& config, const LoadOptions& options, std::int64_t context_length);

/// What a model that writes text with int8 activations takes.
struct WritingMemory {
  std::uint64_t model = 0;      ///< bytes of the process with all weights, packed
  std::uint64_t of_window = 0;  ///< of one text of the context's length among several that are written at once
};
Result<WritingMemory> writing_memory(const ModelFiles& files, std::int64_t context_length);

/// Blocks of the cache that hold so many positions of a text.
std::int64_t kv_blocks(std::int64_t positions);
/// Blocks of floats beside the packed ones: the latest of so many texts, and those of the prompts that a step reads.
std::int64_t latest_kv_blocks(std::int64_t texts, std::int64_t batch_tokens);
/// Bytes of keys and values of that many positions, as floats.
std::uint64_t kv_cache_bytes(const ModelConfig& config, Arithmetic arithmetic, std::int64_t positions);

}  // namespace nibble
