// What it does to a model's KL divergence from its original to round some linears, measured.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "model/model_weights.h"
#include "quant/calibration/model_stream.h"

namespace nibble {

class SubstitutionMeter {
 public:
  /// `hidden`: the original's input of every block, then of the head. All must outlive it.
  static Result<std::unique_ptr<SubstitutionMeter>> create(const ModelWeights& weights, const CalibrationTokens& tokens,
                                                           const std::vector<StoredActivations>& hidden,
                                                           std::shared_ptr<ActivationStore> store, ThreadPool& pool);

  /// Mean KL divergence, in nats, of the model with these linears rounded plainly to these schemes. What comes before
  /// the first of them is not computed again.
  Result<double> measure(const std::map<LinearId, QuantScheme>& rounded);

 private:
  SubstitutionMeter(const ModelWeights& weights, const CalibrationTokens& tokens,
                    const std::vector<StoredActivations>& hidden, std::shared_ptr<ActivationStore> store,
                    ThreadPool& pool)
      : weights_(weights), tokens_(tokens), hidden_(hidden), store_(std::move(store)), pool_(pool) {}

  const ModelWeights& weights_;
  const CalibrationTokens& tokens_;
  const std::vector<StoredActivations>& hidden_;
  std::shared_ptr<ActivationStore> store_;
  ThreadPool& pool_;
  std::unique_ptr<ModelStream> original_;
};

}  // namespace nibble
