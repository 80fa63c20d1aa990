#include "quant/calibration/memory_plan.h"

#include <algorithm>
#include <map>

#include "base/process_memory.h"

namespace nibble {
namespace {

constexpr std::uint64_t kMegabyte = 1000 * 1000;
/// Code, stacks, tables and what the allocator keeps.
constexpr std::uint64_t kSlack = 24 * kMegabyte;

std::uint64_t product(std::int64_t a, std::int64_t b) {
  return static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b);
}

/// Rows of the embedding are looked up, and the head is multiplied by, when no linear is being quantized.
std::uint64_t embedding_bytes(const ModelLayout& layout) {
  std::uint64_t largest = 0;
  for (const LinearInfo& info : layout.linears)
    if (info.role != LinearInfo::Role::kBlock) largest = std::max(largest, 2 * product(info.rows, info.cols));
  return largest;
}

/// What a slice's operations hold at once: values of the residual stream, of q, k and v, and of the feed-forward layer.
std::uint64_t slice_bytes(const ModelConfig& config, const ModelLayout& layout, std::int64_t tokens) {
  std::int64_t ffn = 0;
  for (const LinearInfo& info : layout.linears)
    if (info.role == LinearInfo::Role::kBlock) ffn = std::max(ffn, info.rows);
  const std::int64_t attention = (config.num_attention_heads + 2 * config.num_key_value_heads) * config.head_dim;
  return 4 * product(tokens, 6 * config.hidden_size + 3 * attention + 4 * ffn);
}

}  // namespace

std::uint64_t block_bytes(const ModelLayout& layout) {
  std::map<int, std::uint64_t> blocks;
  for (const LinearInfo& info : layout.linears)
    if (info.role == LinearInfo::Role::kBlock) blocks[info.layer] += 4 * product(info.rows, info.cols);
  std::uint64_t largest = 0;
  for (const auto& [layer, bytes] : blocks) largest = std::max(largest, bytes);
  return largest;
}

std::uint64_t gram_bytes(const ModelLayout& layout, std::int64_t window) {
  std::int64_t widest = 0;
  for (const LinearInfo& info : layout.linears)
    if (info.role == LinearInfo::Role::kBlock) widest = std::max(widest, info.cols);
  // The moments (float64), and a slice's inputs in panels.
  return 8 * product(widest, widest) + 4 * product(BlockRunner::slice_tokens(window), widest);
}

std::uint64_t second_order_bytes(const ModelLayout& layout) {
  // The second moments (float64), their factor (float64), three float32 matrices made of them, and the linear's weights
  // in several forms.
  std::uint64_t largest = 0;
  for (const LinearInfo& info : layout.linears)
    if (info.role == LinearInfo::Role::kBlock)
      largest = std::max(largest, 28 * product(info.cols, info.cols) + 14 * product(info.rows, info.cols));
  return largest;
}

std::uint64_t second_stream_bytes(const ModelWeights& weights, std::int64_t window) {
  const ModelLayout& layout = weights.layout();
  const std::int64_t tokens = BlockRunner::slice_tokens(window);
  // The drift (float64), what a slice adds to it (float32), the slice's differences.
  std::uint64_t drift = 0;
  for (const LinearInfo& info : layout.linears)
    if (info.role == LinearInfo::Role::kBlock)
      drift = std::max(drift, 12 * product(info.cols, info.cols) + 4 * product(tokens, info.cols));
  return block_bytes(layout) + slice_bytes(weights.config(), layout, tokens) + drift;
}

std::uint64_t train_bytes_of_token(const ModelConfig& config) {
  const std::int64_t q = config.num_attention_heads * config.head_dim;
  const std::int64_t kv = config.num_key_value_heads * config.head_dim;
  return static_cast<std::uint64_t>(4 * (17 * config.hidden_size + 5 * q + 5 * kv + 6 * config.intermediate_size));
}

Status check_memory_for_writing(const ModelFiles& files, std::uint64_t max_memory) {
  if (max_memory == 0) return {};
  std::uint64_t needed = resident_bytes() + kSlack;
  for (std::size_t i = 0; i < files.layout().linears.size(); ++i) {
    NIBBLE_TRY(const MatrixPtr matrix, files.matrix(static_cast<LinearId>(i)));
    needed += static_cast<std::uint64_t>(matrix->scheme().stored_bytes(matrix->rows(), matrix->cols()));
  }
  if (needed <= max_memory) return {};
  return fail(ErrorCode::kInvalidArgument,
              "--max-memory {} MB: without --calibration the model itself writes the text, and for that all of {} is "
              "loaded, {} MB; give a text",
              max_memory / kMegabyte, files.path(), needed / kMegabyte + 1);
}

Result<ActivationStore::Options> plan_memory(const ModelWeights& weights, const MemoryNeeds& needs,
                                             const std::filesystem::path& output) {
  ActivationStore::Options store;
  std::error_code error;
  store.folder = std::filesystem::absolute(output, error).parent_path();
  if (!output.has_filename()) store.folder = store.folder.parent_path();
  if (needs.max_memory == 0) return store;
  std::uint64_t needed = resident_bytes() + kSlack + std::max(needs.method_bytes, embedding_bytes(weights.layout()));
  if (needs.window > 0)
    needed += block_bytes(weights.layout()) +
              slice_bytes(weights.config(), weights.layout(), BlockRunner::slice_tokens(needs.window));
  if (needed > needs.max_memory)
    return fail(ErrorCode::kInvalidArgument,
                "--max-memory {} MB: calibrating {} needs at least {} MB whatever waits on disk",
                needs.max_memory / kMegabyte, weights.path(), needed / kMegabyte + 1);
  store.memory = needs.max_memory - needed;
  return store;
}

}  // namespace nibble
