#include "quant/calibration/memory_plan.h"

#include <algorithm>
#include <map>

#include "base/process_memory.h"
#include "quant/calibration/model_stream.h"

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

std::uint64_t block_and_slice_bytes(const ModelWeights& weights, std::int64_t window) {
  return block_bytes(weights.layout()) +
         slice_bytes(weights.config(), weights.layout(), BlockRunner::slice_tokens(window));
}

/// The heads of the output and of the original, a slice of either one's hidden states, and logits of both.
Result<std::uint64_t> scoring_bytes(const ModelWeights& weights, std::int64_t window) {
  const ModelConfig& config = weights.config();
  NIBBLE_TRY(const MatrixPtr head, weights.matrix(weights.layout().head));
  const auto stored = static_cast<std::uint64_t>(head->scheme().stored_bytes(head->rows(), head->cols()));
  return 2 * (std::max(stored, 2 * product(head->rows(), head->cols())) +
              4 * product(BlockRunner::slice_tokens(window), config.hidden_size) +
              4 * product(kScoredTogether, config.vocab_size));
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

Result<ActivationStore::Options> plan_memory(const ModelWeights& weights, const MemoryNeeds& needs,
                                             const std::filesystem::path& output) {
  ActivationStore::Options store;
  std::error_code error;
  store.folder = std::filesystem::absolute(output, error).parent_path();
  if (!output.has_filename()) store.folder = store.folder.parent_path();
  if (needs.max_memory == 0) return store;
  const std::uint64_t embedding = embedding_bytes(weights.layout());
  std::uint64_t calibrating = std::max(needs.method_bytes, embedding);
  if (needs.window > 0) calibrating += block_and_slice_bytes(weights, needs.window);
  std::uint64_t reporting = 0;
  if (needs.report_window > 0) {
    NIBBLE_TRY(const std::uint64_t scoring, scoring_bytes(weights, needs.report_window));
    reporting = std::max(embedding + block_and_slice_bytes(weights, needs.report_window), scoring);
  }
  const std::uint64_t around = resident_bytes() + kSlack;
  if (around + calibrating > needs.max_memory)
    return fail(ErrorCode::kInvalidArgument,
                "--max-memory {} MB: calibrating {} needs at least {} MB whatever waits on disk",
                needs.max_memory / kMegabyte, weights.path(), (around + calibrating) / kMegabyte + 1);
  if (around + reporting > needs.max_memory)
    return fail(ErrorCode::kInvalidArgument,
                "--max-memory {} MB: measuring {} beside the output for the report needs at least {} MB; without it "
                "(--report off) {} MB are enough",
                needs.max_memory / kMegabyte, weights.path(), (around + reporting) / kMegabyte + 1,
                (around + calibrating) / kMegabyte + 1);
  store.memory = needs.max_memory - around - std::max(calibrating, reporting);
  return store;
}

}  // namespace nibble
