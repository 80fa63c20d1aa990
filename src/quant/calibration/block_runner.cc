#include "quant/calibration/block_runner.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "base/check.h"
#include "base/process_memory.h"
#include "model/decoder.h"
#include "run/embedding_rows.h"

namespace nibble {
namespace {

constexpr std::int64_t kSliceTokens = 2048;

/// The cache of one layer.
ModelConfig one_layer(ModelConfig config) {
  config.num_hidden_layers = 1;
  config.layers.resize(1);
  return config;
}

}  // namespace

/// The weights of one block at a time; vectors and biases are small and all here.
class BlockRunner::Weights final : public CpuWeights {
 public:
  Status load(const ModelWeights& weights, std::int64_t positions) {
    config_ = weights.config();
    matrices_.resize(weights.layout().linears.size());
    for (std::size_t i = 0; i < matrices_.size(); ++i) {
      NIBBLE_TRY(std::vector<float> bias, weights.bias(static_cast<LinearId>(i)));
      biases_.push_back(std::move(bias));
    }
    for (std::size_t i = 0; i < weights.layout().vectors.size(); ++i) {
      NIBBLE_TRY(std::vector<float> values, weights.vector(static_cast<VectorId>(i)));
      vectors_.push_back(std::move(values));
    }
    for (const kernel::RopeConfig& rope : config_.ropes)
      ropes_.push_back(std::make_unique<kernel::RopeTable>(kernel::rope_frequencies(rope, positions), positions));
    NIBBLE_TRY(embedding_, weights.matrix(weights.layout().embedding));
    return {};
  }
  Status set_matrix(LinearId id, const MatrixSource& source, ThreadPool& pool) {
    NIBBLE_TRY(matrices_[static_cast<std::size_t>(id)], kernel::PackedMatrix::pack(source, pool));
    return {};
  }
  void set_bias(LinearId id, std::vector<float> bias) { biases_[static_cast<std::size_t>(id)] = std::move(bias); }
  void forget_matrices() {
    for (kernel::PackedMatrix& matrix : matrices_) matrix = kernel::PackedMatrix();
  }
  void release_embedding() const { embedding_->release(0, embedding_->rows()); }

  const ModelConfig& config() const override { return config_; }
  const kernel::PackedMatrix& matrix(LinearId id) const override { return matrices_[static_cast<std::size_t>(id)]; }
  const std::vector<float>& bias(LinearId id) const override { return biases_[static_cast<std::size_t>(id)]; }
  const std::vector<float>& vector(VectorId id) const override { return vectors_[static_cast<std::size_t>(id)]; }
  const kernel::RopeTable& rope(int id) const override { return *ropes_[static_cast<std::size_t>(id)]; }
  Status embedding_row(std::int32_t token, float* out) const override {
    return read_embedding_row(*embedding_, token, out);
  }

 private:
  ModelConfig config_;
  std::vector<kernel::PackedMatrix> matrices_;
  std::vector<std::vector<float>> biases_;
  std::vector<std::vector<float>> vectors_;
  std::vector<std::unique_ptr<kernel::RopeTable>> ropes_;
  MatrixPtr embedding_;
};

BlockRunner::BlockRunner(const ModelWeights& weights, const CalibrationTokens& tokens, ThreadPool& pool)
    : source_(weights),
      tokens_(tokens),
      pool_(pool),
      cache_(std::make_shared<KvCache>(one_layer(weights.config()), KvCacheOptions{kernel::KvType::kF32, 0, 0})),
      windows_per_slice_(slice_tokens(tokens.window) / tokens.window),
      windows_(static_cast<std::int64_t>(tokens.ids.size()) / tokens.window),
      slices_(static_cast<std::size_t>((windows_ + windows_per_slice_ - 1) / windows_per_slice_)),
      weights_(std::make_unique<Weights>()),
      ops_(std::make_unique<CpuOps>(*weights_, *cache_, batch_, kernel::Compute::kF32, pool)) {}

BlockRunner::~BlockRunner() = default;

std::int64_t BlockRunner::slice_tokens(std::int64_t window) {
  return std::max<std::int64_t>(1, kSliceTokens / window) * window;
}

Result<std::unique_ptr<BlockRunner>> BlockRunner::create(const ModelWeights& weights, const CalibrationTokens& tokens,
                                                         ThreadPool& pool) {
  NIBBLE_CHECK(tokens.window > 0 && !tokens.ids.empty() &&
               static_cast<std::int64_t>(tokens.ids.size()) % tokens.window == 0);
  auto runner = std::unique_ptr<BlockRunner>(new BlockRunner(weights, tokens, pool));
  NIBBLE_TRY_STATUS(runner->weights_->load(weights, tokens.window));
  for (std::int64_t i = 0; i < std::min(runner->windows_, runner->windows_per_slice_); ++i) {
    runner->sequences_.push_back(std::make_unique<Sequence>(runner->cache_));
    NIBBLE_TRY_STATUS(runner->sequences_.back()->reserve(tokens.window));
  }
  return runner;
}

void BlockRunner::set_slice(std::size_t slice) {
  batch_.clear();
  const std::int64_t first = static_cast<std::int64_t>(slice) * windows_per_slice_;
  const std::int64_t last = std::min(windows_, first + windows_per_slice_);
  for (std::int64_t w = first; w < last; ++w)
    batch_.append(std::span(tokens_.ids)
                      .subspan(static_cast<std::size_t>(w * tokens_.window), static_cast<std::size_t>(tokens_.window)),
                  0, *sequences_[static_cast<std::size_t>(w - first)]);
}

void BlockRunner::choose_output_rows(std::int64_t count) {
  batch_.output_rows.resize(static_cast<std::size_t>(count));
  std::iota(batch_.output_rows.begin(), batch_.output_rows.end(), 0);
}

void BlockRunner::set_bias(LinearId id, std::vector<float> bias) { weights_->set_bias(id, std::move(bias)); }

Status BlockRunner::set_matrix(LinearId id, const MatrixSource& source) {
  return weights_->set_matrix(id, source, pool_);
}

Status BlockRunner::set_original_matrices(int layer) {
  const BlockLayout& block = source_.layout().blocks[static_cast<std::size_t>(layer)];
  const std::array<LinearId, 7> linears{block.q_proj,    block.k_proj,  block.v_proj,   block.o_proj,
                                        block.gate_proj, block.up_proj, block.down_proj};
  for (const LinearId id : linears) {
    if (weights_->matrix(id).rows() > 0) continue;
    NIBBLE_TRY(const MatrixPtr matrix, source_.matrix(id));
    NIBBLE_TRY_STATUS(set_matrix(id, *matrix));
    matrix->release(0, matrix->rows());
  }
  return {};
}

void BlockRunner::forget_matrices() {
  weights_->forget_matrices();
  return_free_memory();
}

Status BlockRunner::embed(StoredActivations& out) {
  for (std::size_t slice = 0; slice < slices_; ++slice) {
    set_slice(slice);
    const Value x = decoder_embed(*ops_, source_.config(), source_.layout());
    NIBBLE_TRY_STATUS(ops_->take_status());
    NIBBLE_TRY_STATUS(out.put(slice, cpu_values(x)));
  }
  weights_->release_embedding();
  return {};
}

Status BlockRunner::run(int layer, const StoredActivations& in, StoredActivations& out) {
  const std::int64_t width = source_.config().hidden_size;
  std::vector<float> numbers;
  for (std::size_t slice = 0; slice < slices_; ++slice) {
    set_slice(slice);
    NIBBLE_TRY_STATUS(in.read(slice, numbers));
    const Value x = ops_->value_of(numbers.data(), static_cast<std::int64_t>(numbers.size()) / width, width);
    // The cache has one layer: the block's number matters only for its weights.
    const Value y = decoder_block(*ops_, source_.config(), source_.layout(), layer, x);
    NIBBLE_TRY_STATUS(ops_->take_status());
    NIBBLE_TRY_STATUS(out.put(slice, cpu_values(y)));
  }
  return {};
}

}  // namespace nibble
