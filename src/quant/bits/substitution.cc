#include "quant/bits/substitution.h"

#include <algorithm>
#include <string>
#include <utility>

#include "quant/plain_rounding.h"

namespace nibble {
namespace {

/// The model with some linears rounded.
class PartlyRounded final : public ModelWeights {
 public:
  PartlyRounded(const ModelWeights& original, const std::map<LinearId, QuantScheme>& rounded, ThreadPool& pool)
      : original_(original), rounded_(rounded), pool_(pool) {}
  const ModelConfig& config() const override { return original_.config(); }
  const ModelLayout& layout() const override { return original_.layout(); }
  std::string path() const override { return original_.path(); }
  Result<MatrixPtr> matrix(LinearId id) const override {
    const auto found = rounded_.find(id);
    if (found == rounded_.end()) return original_.matrix(id);
    NIBBLE_TRY(MatrixPtr matrix, original_.matrix(id));
    return round_plainly(std::move(matrix), found->second, pool_);
  }
  Result<std::vector<float>> bias(LinearId id) const override { return original_.bias(id); }
  Result<std::vector<float>> vector(VectorId id) const override { return original_.vector(id); }
  Status check_intact() const override { return original_.check_intact(); }

 private:
  const ModelWeights& original_;
  const std::map<LinearId, QuantScheme>& rounded_;
  ThreadPool& pool_;
};

}  // namespace

Result<std::unique_ptr<SubstitutionMeter>> SubstitutionMeter::create(const ModelWeights& weights,
                                                                     const CalibrationTokens& tokens,
                                                                     const std::vector<StoredActivations>& hidden,
                                                                     std::shared_ptr<ActivationStore> store,
                                                                     ThreadPool& pool) {
  auto meter =
      std::unique_ptr<SubstitutionMeter>(new SubstitutionMeter(weights, tokens, hidden, std::move(store), pool));
  NIBBLE_TRY(meter->original_, ModelStream::create(weights, tokens, meter->store_, pool));
  NIBBLE_TRY_STATUS(meter->original_->load_head());
  return meter;
}

Result<double> SubstitutionMeter::measure(const std::map<LinearId, QuantScheme>& rounded) {
  const PartlyRounded model(weights_, rounded, pool_);
  const int layers = static_cast<int>(weights_.config().num_hidden_layers);
  int first = layers;
  for (const auto& [id, scheme] : rounded) {
    const LinearInfo& info = weights_.layout().linears[static_cast<std::size_t>(id)];
    if (info.role == LinearInfo::Role::kBlock) first = std::min(first, info.layer);
    if (info.role == LinearInfo::Role::kEmbedding) first = -1;
  }
  NIBBLE_TRY(const std::unique_ptr<ModelStream> stream, ModelStream::create(model, tokens_, store_, pool_));
  if (first < 0) NIBBLE_TRY_STATUS(stream->embed());
  for (int layer = std::max(first, 0); layer < layers; ++layer)
    NIBBLE_TRY_STATUS(layer == first ? stream->run(layer, hidden_[static_cast<std::size_t>(layer)])
                                     : stream->advance(layer));
  const bool own_head = rounded.contains(weights_.layout().head);
  if (own_head) NIBBLE_TRY_STATUS(stream->load_head());
  ScoreTally tally(true);
  NIBBLE_TRY_STATUS(
      score_windows({own_head ? *stream : *original_, first == layers ? hidden_.back() : stream->hidden()},
                    {*original_, hidden_.back()}, tokens_, weights_.config().vocab_size, pool_, tally));
  return tally.evaluation().comparison->kld_mean;
}

}  // namespace nibble
