// The CPU executor: runs a ragged batch of sequences through a model and gives the logits that were asked for.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "run/cpu_model.h"
#include "run/cpu_ops.h"
#include "run/kv_cache.h"

namespace nibble {

/// What one sequence does in a step.
struct BatchItem {
  /// What is wanted of the step: logits of no, the last or every token, or every token's hidden state after the final
  /// norm in place of logits.
  enum class Logits { kNone, kLast, kAll, kHiddenStates };
  Sequence* sequence = nullptr;          ///< each sequence at most once per batch
  std::span<const std::int32_t> tokens;  ///< stand at positions length() ... ; at least one
  Logits logits = Logits::kLast;
};

/// `logits` [rows, vocab_size] of batch item `item`, the first row being its token number `first_token`. Valid during
/// the call.
using LogitsSink =
    std::function<void(std::size_t item, std::int64_t first_token, std::int64_t rows, const float* logits)>;

/// Rows of a step's results that belong to one item.
struct OutputRows {
  std::size_t item = 0;
  std::int64_t first_token = 0;  ///< number of the first row's token in the item
  std::int64_t rows = 0;
  const float* values = nullptr;  ///< [rows, vocab_size], or [rows, hidden_size] of hidden states
};

/// Rows of several items at once, computed together; items in ascending order. Valid during the call, in which the
/// executor's thread pool may be used.
using OutputSink = std::function<void(std::span<const OutputRows>)>;

/// Gives an Ops that stands before the executor's own: it sees every operation and passes it on to `inner`.
using OpsWrapper = std::function<std::unique_ptr<Ops>(Ops& inner)>;

class CpuExecutor {
 public:
  static constexpr std::int64_t kHeadRows = 64;  ///< logits are computed for so many rows at a time

  struct Options {
    kernel::Compute compute = kernel::Compute::kInt8;  ///< kF32 also keeps the KV cache in float32
    std::int64_t max_batch_tokens = 512;               ///< longer batches are cut; the results do not depend on it
    int kv_bits = 0;                       ///< 8 or 4: keys and values that are not recent are packed to so many bits
    std::size_t max_kv_blocks = 0;         ///< of floats (KvCacheOptions)
    std::size_t max_packed_kv_blocks = 0;  ///< of codes
    OpsWrapper wrap_ops;                   ///< optional
  };

  CpuExecutor(CpuModel::Ptr model, std::shared_ptr<ThreadPool> pool, const Options& options);
  ~CpuExecutor();

  const CpuModel& model() const { return *model_; }
  ThreadPool& pool() { return *pool_; }
  std::int64_t max_batch_tokens() const { return options_.max_batch_tokens; }
  std::unique_ptr<Sequence> new_sequence() const { return std::make_unique<Sequence>(cache_); }
  const std::shared_ptr<KvCache>& cache() const { return cache_; }
  std::size_t kv_bytes() const { return cache_->bytes_in_use(); }

  /// Runs the batch. Refuses token ids outside the vocabulary and sequences that would outgrow the context. On an error
  /// no sequence has advanced beyond what was finished. Executors of one model wait for each other, whatever threads
  /// they are called from.
  Status forward(std::span<const BatchItem> batch, const LogitsSink& sink);
  Status forward(std::span<const BatchItem> batch, const OutputSink& sink);

 private:
  Status check(std::span<const BatchItem> batch) const;
  /// Consecutive rows of the batch that belong to one item and whose logits are wanted.
  struct WantedRows {
    std::size_t item = 0;
    std::int64_t first_token = 0;
    std::int64_t batch_row = 0;
    std::int64_t rows = 0;
  };
  enum class Head { kLogits, kHiddenStates };
  void run_head(std::span<const WantedRows> wanted, Head head, const Value& x, const OutputSink& sink);
  Status forward_slice(std::span<const BatchItem> batch, std::span<const std::size_t> item_of,
                       std::span<const std::int64_t> first_token, const OutputSink& sink);

  CpuModel::Ptr model_;
  std::shared_ptr<ThreadPool> pool_;
  Options options_;
  std::shared_ptr<KvCache> cache_;
  CpuBatch batch_;
  std::unique_ptr<CpuOps> ops_;
  std::unique_ptr<Ops> wrapped_ops_;
  Ops& front_ops_;  ///< what the architecture sees: the wrapped ones or ops_
};

/// The cache that an executor with these options makes.
KvCacheOptions kv_cache_options(const CpuExecutor::Options& options);

}  // namespace nibble
