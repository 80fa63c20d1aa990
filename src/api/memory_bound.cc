#include "api/memory_bound.h"

#include <algorithm>

#include "api/loaded_model.h"
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

/// Of a context: as floats, or packed beside the latest blocks and those of a batch, which are floats first.
std::uint64_t reserved_kv_bytes(const ModelConfig& config, const LoadOptions& options, std::int64_t context_length) {
  const std::uint64_t floats = kv_cache_bytes(config, options.arithmetic, context_length);
  if (options.kv_bits == 0) return floats;
  const KvCache sizes(config, kv_cache_options(executor_options(options)));
  const std::uint64_t latest = static_cast<std::uint64_t>(latest_kv_blocks(1, kLongestBatch)) * sizes.block_bytes();
  const std::uint64_t packed = static_cast<std::uint64_t>(kv_blocks(context_length) + 2) * sizes.packed_block_bytes();
  return std::max(floats, latest + packed);
}

/// Tables of cosines and sines.
std::uint64_t rope_bytes(const ModelConfig& config, std::int64_t positions) {
  std::uint64_t bytes = 0;
  for (const kernel::RopeConfig& rope : config.ropes)
    bytes += sizeof(float) * static_cast<std::uint64_t>(positions) * static_cast<std::uint64_t>(rope.rotary_dim);
  return bytes;
}

}  // namespace

std::int64_t kv_blocks(std::int64_t positions) {
  return (positions + kernel::KvBlockLayout::kTokens - 1) / kernel::KvBlockLayout::kTokens;
}

std::int64_t latest_kv_blocks(std::int64_t texts, std::int64_t batch_tokens) {
  return (kernel::kKvRecentBlocks + 2) * texts + batch_tokens / kernel::KvBlockLayout::kTokens + 2;
}

std::uint64_t kv_cache_bytes(const ModelConfig& config, Arithmetic arithmetic, std::int64_t positions) {
  kernel::KvBlockLayout block;
  block.kv_heads = static_cast<int>(config.num_key_value_heads);
  block.head_dim = static_cast<int>(config.head_dim);
  block.type = arithmetic == Arithmetic::kF32 ? kernel::KvType::kF32 : kernel::KvType::kF16;
  return static_cast<std::uint64_t>(kv_blocks(positions) * config.num_hidden_layers) * block.block_bytes();
}

Result<WritingMemory> writing_memory(const ModelFiles& files, std::int64_t context_length) {
  const ModelConfig& config = files.config();
  WritingMemory memory;
  memory.model =
      resident_bytes() + kSlack + rope_bytes(config, context_length) + activation_bytes(config, kShortestBatch);
  for (std::size_t i = 0; i < files.layout().linears.size(); ++i) {
    NIBBLE_TRY(const MatrixPtr matrix, files.matrix(static_cast<LinearId>(i)));
    memory.model += static_cast<std::uint64_t>(matrix->scheme().stored_bytes(matrix->rows(), matrix->cols()));
  }
  // Blocks of keys and values are allocated twice as many as there are until a slab is full; then what sampling makes
  // of the logits, and a row of activations and logits.
  const std::uint64_t cache = kv_cache_bytes(config, Arithmetic::kInt8, context_length);
  const std::uint64_t sampling = 16 * static_cast<std::uint64_t>(config.vocab_size);
  memory.of_window = 2 * cache + sampling + activation_bytes(config, 1);
  return memory;
}

Result<RunMemory> divide_memory(const ModelConfig& config, const LoadOptions& options, std::int64_t context_length) {
  const std::uint64_t cache = reserved_kv_bytes(config, options, context_length);
  const std::uint64_t fixed = resident_bytes() + kSlack + cache + rope_bytes(config, context_length);
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
