// Ops on the CPU kernels, over one ragged batch at a time. Executors drive it: the engine (CpuExecutor) with all layers
// of a model in memory, calibration with one block at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "kernel/attention/attention.h"
#include "kernel/matmul/packed_matrix.h"
#include "kernel/rope/rope.h"
#include "model/ops.h"
#include "run/kv_cache.h"

namespace nibble {

class WeightStream;

/// Where operations find the numbers of a model.
class CpuWeights {
 public:
  virtual ~CpuWeights() = default;
  virtual const ModelConfig& config() const = 0;
  virtual const kernel::PackedMatrix& matrix(LinearId id) const = 0;
  /// Where matrices are read from disk as they are used; null: they are in memory.
  virtual WeightStream* stream() const { return nullptr; }
  /// Empty when the linear has no bias.
  virtual const std::vector<float>& bias(LinearId id) const = 0;
  virtual const std::vector<float>& vector(VectorId id) const = 0;
  virtual const kernel::RopeTable& rope(int id) const = 0;
  /// out [hidden_size] = the embedding of a token.
  virtual Status embedding_row(std::int32_t token, float* out) const = 0;
};

/// The numbers behind a value of CpuOps, [tokens, width]; valid as long as the value is.
std::span<const float> cpu_values(const Value& value);

/// The rows of a batch: which tokens, at which positions, of which sequences.
struct CpuBatch {
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> positions;
  std::vector<kernel::KvSequence> sequences;
  std::vector<std::int64_t> output_rows;  ///< rows whose logits are wanted

  void clear();
  /// Appends tokens that stand at the positions after `first_position` of a sequence, which has room for them.
  void append(std::span<const std::int32_t> tokens, std::int64_t first_position, const Sequence& sequence);
};

class BufferPool;

class CpuOps final : public Ops {
 public:
  /// All must outlive it. `batch` is read by every operation: its rows are those of every value.
  CpuOps(const CpuWeights& weights, KvCache& cache, const CpuBatch& batch, kernel::Compute compute, ThreadPool& pool);
  ~CpuOps() override;

  /// The first error of an operation since the last call.
  Status take_status();
  /// A value with these numbers, [tokens, width] row-major.
  Value value_of(const float* numbers, std::int64_t tokens, std::int64_t width);

  Value embed(LinearId table, float scale) override;
  std::vector<Value> linear_group(const Value& x, std::span<const LinearId> linears) override;
  Value rms_norm(const Value& x, VectorId weight, float eps, bool plus_one) override;
  Value rope(const Value& x, std::int64_t head_dim, int rope) override;
  Value attention(const Value& q, const Value& k, const Value& v, const AttentionSpec& spec) override;
  Value gated_activation(Activation activation, const Value& gate, const Value& up) override;
  Value add(const Value& a, const Value& b) override;
  Value output_rows(const Value& x) override;
  Value softcap(const Value& x, float c) override;

 private:
  Value make(std::int64_t rows, std::int64_t width) const;
  Value copy(const Value& x) const;
  /// Every head of x through the Hadamard transform.
  Value rotated(const Value& x);

  const CpuWeights& weights_;
  KvCache& cache_;
  const CpuBatch& batch_;
  kernel::Compute compute_;
  ThreadPool& pool_;
  Status status_;
  std::shared_ptr<BufferPool> buffers_;
  kernel::MatmulInput input_;
  std::vector<const kernel::PackedMatrix*> matrices_;
  std::vector<float*> outputs_;
  std::vector<std::int64_t> strides_;
};

}  // namespace nibble
