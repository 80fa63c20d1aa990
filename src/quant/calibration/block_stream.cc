#include "quant/calibration/block_stream.h"

#include <algorithm>
#include <memory>

#include "base/check.h"
#include "model/decoder.h"
#include "quant/calibration/staged_ops.h"
#include "run/embedding_rows.h"

namespace nibble {
namespace {

constexpr std::int64_t kSliceTokens = 2048;

/// The weights of one block at a time; vectors and biases are small and all here.
class BlockWeights final : public CpuWeights {
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
  void forget_matrices() {
    for (kernel::PackedMatrix& matrix : matrices_) matrix = kernel::PackedMatrix();
  }

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

/// The cache of one layer.
ModelConfig one_layer(ModelConfig config) {
  config.num_hidden_layers = 1;
  config.layers.resize(1);
  return config;
}

class BlockStream {
 public:
  BlockStream(const ModelWeights& weights, const CalibrationTokens& tokens, const QuantizeLinears& quantize,
              ThreadPool& pool)
      : source_(weights),
        tokens_(tokens),
        quantize_(quantize),
        pool_(pool),
        cache_(std::make_shared<KvBlockPool>(one_layer(weights.config()), kernel::KvType::kF32)),
        windows_per_slice_(std::max<std::int64_t>(1, kSliceTokens / tokens.window)),
        windows_(static_cast<std::int64_t>(tokens.ids.size()) / tokens.window),
        slices_(static_cast<std::size_t>((windows_ + windows_per_slice_ - 1) / windows_per_slice_)) {}

  Status run(const Progress& progress) {
    NIBBLE_TRY_STATUS(weights_.load(source_, tokens_.window));
    for (std::int64_t i = 0; i < std::min(windows_, windows_per_slice_); ++i) {
      sequences_.push_back(std::make_unique<Sequence>(cache_));
      NIBBLE_TRY_STATUS(sequences_.back()->reserve(tokens_.window));
    }
    CpuOps ops(weights_, *cache_, batch_, kernel::Compute::kF32, pool_);
    const std::int64_t width = source_.config().hidden_size;
    NIBBLE_TRY(std::vector<std::vector<float>> hidden, embed(ops));
    const std::int64_t layers = source_.config().num_hidden_layers;
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      StagedOps staged(
          ops, source_.layout(), slices_, [this](std::size_t slice) { set_slice(slice); },
          [this](std::span<const LinearId> linears, const EachSlice& each) { return stage(linears, each); });
      const Value x = staged.given(std::move(hidden), width);
      const Value y = decoder_block(staged, source_.config(), source_.layout(), static_cast<int>(layer), x);
      NIBBLE_TRY(hidden, staged.take(y));
      weights_.forget_matrices();
      if (progress &&
          !progress("quantizing", static_cast<std::uint64_t>(layer + 1), static_cast<std::uint64_t>(layers), "blocks"))
        return fail(ErrorCode::kCancelled, "quantizing was stopped; nothing was written");
    }
    return source_.check_intact();
  }

 private:
  void set_slice(std::size_t slice) {
    batch_.clear();
    const std::int64_t first = static_cast<std::int64_t>(slice) * windows_per_slice_;
    const std::int64_t last = std::min(windows_, first + windows_per_slice_);
    for (std::int64_t w = first; w < last; ++w)
      batch_.append(
          std::span(tokens_.ids)
              .subspan(static_cast<std::size_t>(w * tokens_.window), static_cast<std::size_t>(tokens_.window)),
          0, sequences_[static_cast<std::size_t>(w - first)]->blocks());
  }

  Result<std::vector<std::vector<float>>> embed(CpuOps& ops) {
    std::vector<std::vector<float>> out;
    for (std::size_t slice = 0; slice < slices_; ++slice) {
      set_slice(slice);
      const Value x = decoder_embed(ops, source_.config(), source_.layout());
      NIBBLE_TRY_STATUS(ops.take_status());
      const std::span<const float> numbers = cpu_values(x);
      out.emplace_back(numbers.begin(), numbers.end());
    }
    return out;
  }

  Status stage(std::span<const LinearId> linears, const EachSlice& each_slice) {
    InputGram gram(source_.layout().linears[static_cast<std::size_t>(linears.front())].cols);
    NIBBLE_TRY_STATUS(each_slice([&](std::span<const float> x, std::int64_t) { gram.add(x, pool_); }));
    NIBBLE_TRY(const std::vector<MatrixPtr> matrices, quantize_(linears, gram));
    NIBBLE_CHECK(matrices.size() == linears.size());
    for (std::size_t i = 0; i < linears.size(); ++i)
      NIBBLE_TRY_STATUS(weights_.set_matrix(linears[i], *matrices[i], pool_));
    return {};
  }

  const ModelWeights& source_;
  const CalibrationTokens& tokens_;
  const QuantizeLinears& quantize_;
  ThreadPool& pool_;
  std::shared_ptr<KvBlockPool> cache_;
  std::int64_t windows_per_slice_;
  std::int64_t windows_;
  std::size_t slices_;
  BlockWeights weights_;
  CpuBatch batch_;
  std::vector<std::unique_ptr<Sequence>> sequences_;
};

}  // namespace

Status stream_blocks(const ModelWeights& weights, const CalibrationTokens& tokens, const QuantizeLinears& quantize,
                     const Progress& progress, ThreadPool& pool) {
  NIBBLE_CHECK(tokens.window > 0 && !tokens.ids.empty() &&
               static_cast<std::int64_t>(tokens.ids.size()) % tokens.window == 0);
  return BlockStream(weights, tokens, quantize, pool).run(progress);
}

}  // namespace nibble
