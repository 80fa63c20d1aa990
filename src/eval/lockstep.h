// Perplexity of a model, and its divergence from a baseline on the same windows, in lock-step: no logits are kept but
// where a file of them is asked for.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "eval/logits_file.h"
#include "nibble/evaluate.h"
#include "run/cpu_executor.h"

namespace nibble {

/// The original that a model is compared with: a model that runs beside it, or what one said before.
class Baseline {
 public:
  virtual ~Baseline() = default;
  virtual std::int64_t vocab() const = 0;
  /// The logits at the next positions of a window, whose ids `slice` holds, beginning with position `begin`: float32
  /// [slice.size(), vocab], valid until the next call. Windows and positions are asked for in order.
  virtual Result<const float*> logits(std::int64_t window, std::int64_t begin, std::span<const std::int32_t> slice) = 0;
  /// The window's logits were used; fails where they turn out not to have been good.
  virtual Status finish_window(std::int64_t) { return {}; }
};

/// Runs a model; the executor stays with the caller.
std::unique_ptr<Baseline> baseline_of(CpuExecutor& executor);
/// Reads a file's logits; the caller sees to it that the windows are the file's.
std::unique_ptr<Baseline> baseline_of(std::shared_ptr<const LogitsFile> file);

/// Scores windows of `context` token ids, back to back in `tokens`. Every position but the first of a window is scored.
/// `baseline` may be null, and so may be `logits`, which gets what the model says, but is not committed. KL is from
/// baseline to model, in nats. Standard errors are over windows. Errors: vocabularies of different size; ids outside of
/// it; cancelled; a file of logits that cannot be read or written.
Result<Evaluation> evaluate_windows(CpuExecutor& model, Baseline* baseline, LogitsWriter* logits,
                                    std::span<const std::int32_t> tokens, std::int64_t context,
                                    const Progress& progress);

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
