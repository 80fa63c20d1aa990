// Measuring what quantization did to a model: perplexity, KL divergence and agreement, in lock-step with a baseline.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nibble/model.h"
#include "nibble/progress.h"
#include "nibble/result.h"

namespace nibble {

struct EvaluateOptions {
  std::string text_file;             ///< UTF-8 text, tokenized once
  std::string text;                  ///< not empty: the text itself, instead of a file
  std::vector<std::int32_t> tokens;  ///< instead of a text: windows of `context` ids back to back
  std::int64_t context = 512;
  std::int64_t chunks = 0;  ///< 0: all whole windows
  std::string save_logits;  ///< when not empty: a file that gets the model's logits, to be a baseline
  LoadOptions model;
  LoadOptions baseline;
  Progress progress;
};

/// How the baseline of a model that is loaded so is loaded: as it is stored, with keys and values in floats, which is
/// what rounding while loading and packed keys and values are compared with.
LoadOptions baseline_of(LoadOptions model);

struct Evaluation {
  std::int64_t tokens = 0;  ///< scored positions
  std::int64_t windows = 0;
  double perplexity = 0;
  double perplexity_stderr = 0;    ///< over windows
  std::vector<double> window_nll;  ///< mean -log p(target) of each window
  struct Comparison {
    double baseline_perplexity = 0;
    double baseline_perplexity_stderr = 0;
    double kld_mean = 0;  ///< KL(baseline || model) in nats
    double kld_mean_stderr = 0;
    double kld_p99 = 0;
    double kld_max = 0;
    std::vector<double> window_kld;  ///< mean of each window: for paired comparisons
    double top1_agreement = 0;       ///< 0..1
    double top1_agreement_stderr = 0;
  };
  std::optional<Comparison> comparison;
  double seconds = 0;
};

/// The evaluation as JSON.
std::string to_json(const Evaluation& evaluation);

/// Runs `model` over the text, and `baseline` (when not empty) beside it on the same windows. The baseline may be a
/// file that `save_logits` made: without a text and tokens the windows are those in it, with them they have to be the
/// same.
Result<Evaluation> evaluate(const std::string& model, const std::string& baseline, const EvaluateOptions& options);

/// Runs a model that is loaded, beside its texts that are under way. Of the options, those of a baseline and of loading
/// say nothing, and logits are not saved.
Result<Evaluation> evaluate(Model& model, const EvaluateOptions& options);

/// `windows` windows of `context` tokens that the model itself samples (temperature 1), each from its own stream of the
/// seed.
Result<std::vector<std::int32_t>> sample_windows(const std::string& model, std::int64_t windows, std::int64_t context,
                                                 std::uint64_t seed, const LoadOptions& options);

}  // namespace nibble
