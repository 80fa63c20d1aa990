// Perplexity of a model, and its divergence from a baseline on the same windows, in lock-step: no logits are kept.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nibble/evaluate.h"
#include "run/cpu_executor.h"

namespace nibble {

/// Scores `windows` windows of `context` token ids, back to back in `tokens`. Every position but the first of a window
/// is scored. `baseline` may be null. KL is from baseline to model, in nats. Standard errors are over windows. Errors:
/// vocabularies of different size; cancelled.
Result<Evaluation> evaluate_windows(CpuExecutor& model, CpuExecutor* baseline, std::span<const std::int32_t> tokens,
                                    std::int64_t context, const Progress& progress);

/// What one position's logits say.
struct PositionScore {
  double nll = 0;  ///< -log p(target)
  double baseline_nll = 0;
  double kld = 0;         ///< KL(baseline || model)
  bool same_top = false;  ///< both models' most likely token is the same
};

/// Scores one row of `vocab` logits; `baseline` may be null. The lowest id wins ties for the top.
PositionScore score_position(const float* logits, const float* baseline, std::int64_t vocab, std::int32_t target);

/// Scores of windows, added up.
class ScoreTally {
 public:
  explicit ScoreTally(bool with_baseline) : with_baseline_(with_baseline) {}
  /// One window's positions.
  void add(std::span<const PositionScore> window);
  /// What they come to; at least one window was added. Leaves the time out.
  Evaluation evaluation();

 private:
  bool with_baseline_;
  std::int64_t tokens_ = 0;
  std::vector<double> nll_;  ///< means per window, as all of these
  std::vector<double> baseline_nll_;
  std::vector<double> kld_;
  std::vector<double> agreement_;
  std::vector<float> all_kld_;  ///< of every position
};

}  // namespace nibble
