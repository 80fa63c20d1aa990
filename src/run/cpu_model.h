// CpuModel: a model's weights in the layouts of the CPU kernels, ready to run. Shared by executors, immutable.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/thread_pool.h"
#include "model/model_weights.h"
#include "nibble/progress.h"
#include "run/cpu_ops.h"
#include "run/pack_file.h"
#include "run/pack_linear.h"
#include "run/weight_stream.h"

namespace nibble {

struct CpuModelOptions {
  std::int64_t context_length = 0;  ///< positions that rope tables serve; 0: the model's max_position_embeddings
  MatrixHook matrix_hook;           ///< optional
  PackFile::Ptr pack;               ///< optional: matrices are used where they lie in it, instead of being packed
  /// With a pack: at most so many bytes of it are in memory, the rest is read when it is its turn. 0: all may be.
  std::uint64_t pack_memory = 0;
  std::uint64_t around_weights = 0;  ///< what the process needs besides, for the message when that is too little
  Progress progress;                 ///< optional
};

class CpuModel final : public CpuWeights {
 public:
  using Ptr = std::shared_ptr<const CpuModel>;

  /// Decodes and packs every matrix tile by tile. Errors name the file and the tensor.
  static Result<Ptr> load(const ModelWeights::Ptr& weights, const CpuModelOptions& options, ThreadPool& pool);

  const ModelConfig& config() const override { return config_; }
  const ModelLayout& layout() const { return layout_; }
  std::int64_t context_length() const { return context_length_; }

  const kernel::PackedMatrix& matrix(LinearId id) const override { return matrices_[static_cast<std::size_t>(id)]; }
  const std::vector<float>& bias(LinearId id) const override { return biases_[static_cast<std::size_t>(id)]; }
  const std::vector<float>& vector(VectorId id) const override { return vectors_[static_cast<std::size_t>(id)]; }
  const kernel::RopeTable& rope(int id) const override { return *ropes_[static_cast<std::size_t>(id)]; }

  Status embedding_row(std::int32_t token, float* out) const override;
  WeightStream* stream() const override { return stream_.get(); }
  /// Held by the executor that runs the model: its threads, and the weights read from disk in turn, serve one at a
  /// time.
  std::mutex& turn() const { return turn_; }
  /// Fails when the file that weights are used from was damaged meanwhile.
  Status check_intact() const;

  /// Bytes of packed weights in memory.
  std::size_t packed_bytes() const { return packed_bytes_; }
  /// Bytes that the schemes store for all linears and the head (no embedding that is not the head): what one decoded
  /// token must read at least.
  std::int64_t bytes_per_token() const { return bytes_per_token_; }
  /// The name of the scheme of each linear as it runs.
  const std::string& scheme(LinearId id) const { return schemes_[static_cast<std::size_t>(id)]; }

 private:
  CpuModel() = default;
  Status load_linear(const ModelWeights& weights, const CpuModelOptions& options, LinearId id, ThreadPool& pool);
  /// The matrix from options.pack, or packed now.
  Status load_matrix(const ModelWeights& weights, const CpuModelOptions& options, LinearId id, ThreadPool& pool);
  /// Begins to stream the matrices of the pack that options names.
  Status begin_stream(const CpuModelOptions& options);

  ModelConfig config_;
  ModelLayout layout_;
  std::int64_t context_length_ = 0;
  kernel::PanelArena arena_;  // of the matrices that do not lie in a pack file
  std::vector<kernel::PackedMatrix> matrices_;
  std::vector<std::vector<float>> biases_;
  std::vector<std::vector<float>> vectors_;
  std::vector<std::string> schemes_;
  std::vector<std::unique_ptr<kernel::RopeTable>> ropes_;
  MatrixPtr embedding_;        ///< of an untied model: rows are read from the file when needed
  ModelWeights::Ptr weights_;  ///< keeps embedding_'s file mapped
  PackFile::Ptr pack_;
  std::unique_ptr<WeightStream> stream_;
  std::size_t packed_bytes_ = 0;
  std::int64_t bytes_per_token_ = 0;
  mutable std::mutex turn_;
};

}  // namespace nibble
