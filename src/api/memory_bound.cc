#include "api/memory_bound.h"

#include <algorithm>

#include "base/process_memory.h"
#include "kernel/attention/attention.h"
#include "run/cpu_executor.h"

namespace nibble {
namespace {

constexpr std::int64_t kLongestBatch = 512;
constexpr std::int64_t kShortestBatch = 16;
/// Code that was not needed yet, stacks, what the allocator keeps.
constexpr std::uint64_t kSlack = std::uint64_t{12} << 20;

/// Values of a block that are alive at once, and their int8 copies, about; and logits.
std::uint64_t activation_bytes(const ModelConfig& config, std::int64_t tokens) {
  const std::int64_t q_width = config.num_attention_heads * config.head_dim;
  const std::int64_t kv_width = config.num_key_value_heads * config.head_dim;
  const std::int64_t width = 6 * config.hidden_size + 4 * q_width + 4 * kv_width + 4 * config.intermediate_size;
  return 4 * static_cast<std::uint64_t>(tokens * width + std::min(tokens, CpuExecutor::kHeadRows) * config.vocab_size);
}

std::int64_t kv_blocks(std::int64_t positions) {
  return (positions + kernel::KvBlockLayout::kTokens - 1) / kernel::KvBlockLayout::kTokens;
}

/// Of a context: as floats, or packed beside the latest blocks and those of a batch, which are floats first.
std::uint64_t reserved_kv_bytes(const ModelConfig& config, const LoadOptions& options, std::int64_t context_length) {
  const std::uint64_t floats = kv_cache_bytes(config, options.arithmetic, context_length);
  if (options.kv_bits == 0) return floats;
  const kernel::KvPackedLayout packed{static_cast<int>(config.num_key_value_heads), static_cast<int>(config.head_dim),
                                      options.kv_bits};
  const std::int64_t latest = (kernel::kKvRecentBlocks + 4) * kernel::KvBlockLayout::kTokens + kLongestBatch;
  return std::max(floats, kv_cache_bytes(config, options.arithmetic, latest) +
                              static_cast<std::uint64_t>((kv_blocks(context_length) + 2) * config.num_hidden_layers) *
                                  packed.block_bytes());
}

}  // namespace

std::uint64_t kv_cache_bytes(const ModelConfig& config, Arithmetic arithmetic, std::int64_t positions) {
  kernel::KvBlockLayout block;
  block.kv_heads = static_cast<int>(config.num_key_value_heads);
  block.head_dim = static_cast<int>(config.head_dim);
  block.type = arithmetic == Arithmetic::kF32 ? kernel::KvType::kF32 : kernel::KvType::kF16;
  return static_cast<std::uint64_t>(kv_blocks(positions) * config.num_hidden_layers) * block.block_bytes();
}

Result<RunMemory> divide_memory(const ModelConfig& config, const LoadOptions& options, std::int64_t context_length) {
  const std::uint64_t cache = reserved_kv_bytes(config, options, context_length);
  std::uint64_t tables = 0;  // of cosines and sines
  for (const kernel::RopeConfig& rope : config.ropes)
    tables += sizeof(float) * static_cast<std::uint64_t>(context_length) * static_cast<std::uint64_t>(rope.rotary_dim);
  const std::uint64_t fixed = resident_bytes() + kSlack + cache + tables;
  RunMemory memory;
  memory.kv = cache;
  memory.batch_tokens = kLongestBatch;
  while (memory.batch_tokens > kShortestBatch &&
         activation_bytes(config, memory.batch_tokens) > (options.memory - std::min(options.memory, fixed)) / 4)
    memory.batch_tokens /= 2;
  memory.around_weights = fixed + activation_bytes(config, memory.batch_tokens);
  if (memory.around_weights >= options.memory)
    return fail(ErrorCode::kOutOfMemory,
                "--memory {}M is too little: without weights {} MB are needed, {} of them for keys and values of a "
                "context of {} tokens (a shorter one: --ctx)",
                options.memory / 1'000'000, memory.around_weights / 1'000'000 + 1, cache / 1'000'000, context_length);
  memory.weights = options.memory - memory.around_weights;
  return memory;
}

}  // namespace nibble
