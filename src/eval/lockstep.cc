// Lock-step evaluation: a slice of a window goes through the baseline, then through the model, then both are compared.
#include "eval/lockstep.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

namespace nibble {
namespace {

constexpr std::int64_t kSliceTokens = 128;

/// log(sum of exp(x)), by the largest value first.
struct LogSumExp {
  float max = 0;
  std::int64_t top = 0;
  double log_sum = 0;  ///< log of the sum of exp(x - max)
};

LogSumExp log_sum_exp(const float* x, std::int64_t n) {
  LogSumExp out;
  out.max = x[0];
  for (std::int64_t i = 1; i < n; ++i) {
    if (x[i] > out.max) {
      out.max = x[i];
      out.top = i;
    }
  }
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>(std::exp(x[i] - out.max));
  out.log_sum = std::log(sum);
  return out;
}

struct MeanAndError {
  double mean = 0;
  double standard_error = 0;
};

MeanAndError over_windows(const std::vector<double>& means) {
  MeanAndError out;
  const auto n = static_cast<double>(means.size());
  for (const double m : means) out.mean += m / n;
  if (means.size() < 2) return out;
  double squares = 0;
  for (const double m : means) squares += (m - out.mean) * (m - out.mean);
  out.standard_error = std::sqrt(squares / (n - 1.0) / n);
  return out;
}

/// The nearest-rank percentile of values, which it reorders.
double percentile(std::vector<float>& values, double percent) {
  if (values.empty()) return 0;
  const double rank = std::ceil(percent / 100.0 * static_cast<double>(values.size())) - 1.0;
  const auto index = static_cast<std::ptrdiff_t>(std::clamp(rank, 0.0, static_cast<double>(values.size() - 1)));
  std::nth_element(values.begin(), values.begin() + index, values.end());
  return static_cast<double>(values[static_cast<std::size_t>(index)]);
}

class RunningBaseline final : public Baseline {
 public:
  explicit RunningBaseline(CpuExecutor& executor) : executor_(executor) {}

  std::int64_t vocab() const override { return executor_.model().config().vocab_size; }

  Result<const float*> logits(std::int64_t, std::int64_t begin, std::span<const std::int32_t> slice) override {
    if (begin == 0) sequence_ = executor_.new_sequence();
    logits_.resize(slice.size() * static_cast<std::size_t>(vocab()));
    const BatchItem item{sequence_.get(), slice, BatchItem::Logits::kAll};
    NIBBLE_TRY_STATUS(executor_.forward({&item, 1}, [&](std::size_t, std::int64_t first, std::int64_t rows,
                                                        const float* logits) {
      std::memcpy(logits_.data() + first * vocab(), logits, static_cast<std::size_t>(rows * vocab()) * sizeof(float));
    }));
    return logits_.data();
  }

 private:
  CpuExecutor& executor_;
  std::unique_ptr<Sequence> sequence_;
  std::vector<float> logits_;
};

class SavedBaseline final : public Baseline {
 public:
  explicit SavedBaseline(std::shared_ptr<const LogitsFile> file) : file_(std::move(file)) {}

  std::int64_t vocab() const override { return file_->vocab(); }
  Result<const float*> logits(std::int64_t window, std::int64_t begin, std::span<const std::int32_t>) override {
    return file_->logits(window, begin);
  }
  Status finish_window(std::int64_t window) override { return file_->finish_window(window); }

 private:
  std::shared_ptr<const LogitsFile> file_;
};

/// Windows through the model and beside the baseline, slice by slice.
class WindowRunner {
 public:
  WindowRunner(CpuExecutor& model, Baseline* baseline, LogitsWriter* logits)
      : model_(model), baseline_(baseline), logits_(logits), vocab_(model.model().config().vocab_size) {}

  Status run(std::int64_t index, std::span<const std::int32_t> window, std::vector<PositionScore>& scores) {
    scores.assign(window.size() - 1, PositionScore{});
    const auto sequence = model_.new_sequence();
    const auto inputs = static_cast<std::int64_t>(window.size()) - 1;
    for (std::int64_t begin = 0; begin < inputs; begin += kSliceTokens) {
      const std::int64_t count = std::min(kSliceTokens, inputs - begin);
      const auto slice = window.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
      const float* base = nullptr;
      if (baseline_ != nullptr) {
        NIBBLE_TRY(base, baseline_->logits(index, begin, slice));
      }
      const BatchItem item{sequence.get(), slice, BatchItem::Logits::kAll};
      Status saved;
      NIBBLE_TRY_STATUS(
          model_.forward({&item, 1}, [&](std::size_t, std::int64_t first, std::int64_t rows, const float* logits) {
            if (logits_ != nullptr && saved.ok()) saved = logits_->append(logits, rows);
            model_.pool().run(static_cast<std::size_t>(rows), 1, [&](std::size_t from, std::size_t to, int) {
              for (std::size_t r = from; r < to; ++r) {
                const std::int64_t position = first + static_cast<std::int64_t>(r);
                scores[static_cast<std::size_t>(begin + position)] =
                    score_position(logits + static_cast<std::int64_t>(r) * vocab_,
                                   base != nullptr ? base + position * vocab_ : nullptr, vocab_,
                                   window[static_cast<std::size_t>(begin + position) + 1]);
              }
            });
          }));
      NIBBLE_TRY_STATUS(saved);
    }
    if (baseline_ != nullptr) NIBBLE_TRY_STATUS(baseline_->finish_window(index));
    return {};
  }

 private:
  CpuExecutor& model_;
  Baseline* baseline_;
  LogitsWriter* logits_;
  std::int64_t vocab_;
};

}  // namespace

std::unique_ptr<Baseline> baseline_of(CpuExecutor& executor) { return std::make_unique<RunningBaseline>(executor); }

std::unique_ptr<Baseline> baseline_of(std::shared_ptr<const LogitsFile> file) {
  return std::make_unique<SavedBaseline>(std::move(file));
}

PositionScore score_position(const float* logits, const float* baseline, std::int64_t vocab, std::int32_t target) {
  PositionScore score;
  const LogSumExp q = log_sum_exp(logits, vocab);
  score.nll = q.log_sum - static_cast<double>(logits[target] - q.max);
  if (baseline == nullptr) return score;
  const LogSumExp p = log_sum_exp(baseline, vocab);
  score.baseline_nll = p.log_sum - static_cast<double>(baseline[target] - p.max);
  score.same_top = p.top == q.top;
  double divergence = 0;
  for (std::int64_t i = 0; i < vocab; ++i) {
    const double log_p = static_cast<double>(baseline[i] - p.max) - p.log_sum;
    if (log_p < -60.0) continue;  // contributes less than 1e-24
    const double log_q = static_cast<double>(logits[i] - q.max) - q.log_sum;
    divergence += static_cast<double>(std::exp(static_cast<float>(log_p))) * (log_p - log_q);
  }
  score.kld = std::max(divergence, 0.0);  // rounding may leave a tiny negative sum
  return score;
}

void ScoreTally::add(std::span<const PositionScore> window) {
  double sums[4] = {0, 0, 0, 0};
  for (const PositionScore& p : window) {
    sums[0] += p.nll;
    sums[1] += p.baseline_nll;
    sums[2] += p.kld;
    sums[3] += p.same_top ? 1.0 : 0.0;
    if (with_baseline_) all_kld_.push_back(static_cast<float>(p.kld));
  }
  const auto n = static_cast<double>(window.size());
  tokens_ += static_cast<std::int64_t>(window.size());
  nll_.push_back(sums[0] / n);
  baseline_nll_.push_back(sums[1] / n);
  kld_.push_back(sums[2] / n);
  agreement_.push_back(sums[3] / n);
}

Evaluation ScoreTally::evaluation() {
  Evaluation out;
  out.windows = static_cast<std::int64_t>(nll_.size());
  out.tokens = tokens_;
  const MeanAndError nll = over_windows(nll_);
  out.perplexity = std::exp(nll.mean);
  out.perplexity_stderr = out.perplexity * nll.standard_error;
  out.window_nll = nll_;
  if (!with_baseline_) return out;
  Evaluation::Comparison c;
  const MeanAndError base_nll = over_windows(baseline_nll_);
  c.baseline_perplexity = std::exp(base_nll.mean);
  c.baseline_perplexity_stderr = c.baseline_perplexity * base_nll.standard_error;
  const MeanAndError kld = over_windows(kld_);
  c.kld_mean = kld.mean;
  c.kld_mean_stderr = kld.standard_error;
  c.window_kld = kld_;
  c.kld_p99 = percentile(all_kld_, 99.0);
  c.kld_max = percentile(all_kld_, 100.0);
  const MeanAndError agreement = over_windows(agreement_);
  c.top1_agreement = agreement.mean;
  c.top1_agreement_stderr = agreement.standard_error;
  out.comparison = c;
  return out;
}

Result<Evaluation> evaluate_windows(CpuExecutor& model, Baseline* baseline, LogitsWriter* logits,
                                    std::span<const std::int32_t> tokens, std::int64_t context,
                                    const Progress& progress) {
  const std::int64_t windows = context > 1 ? static_cast<std::int64_t>(tokens.size()) / context : 0;
  if (windows == 0)
    return fail(ErrorCode::kInvalidArgument, "{} tokens are less than one window of {}", tokens.size(), context);
  const std::int64_t vocab = model.model().config().vocab_size;
  if (baseline != nullptr && baseline->vocab() != vocab)
    return fail(ErrorCode::kInvalidArgument,
                "the baseline's vocabulary has {} tokens, the model's {}; compare a model with its own original",
                baseline->vocab(), vocab);
  // The last id of a window is scored, but never fed.
  for (const std::int32_t token : tokens)
    if (token < 0 || token >= vocab)
      return fail(ErrorCode::kInvalidArgument, "token id {} is outside the vocabulary of {}", token, vocab);
  const auto start = std::chrono::steady_clock::now();
  WindowRunner runner(model, baseline, logits);
  ScoreTally tally(baseline != nullptr);
  std::vector<PositionScore> scores;
  for (std::int64_t w = 0; w < windows; ++w) {
    NIBBLE_TRY_STATUS(runner.run(
        w, tokens.subspan(static_cast<std::size_t>(w * context), static_cast<std::size_t>(context)), scores));
    tally.add(scores);
    if (progress && !progress("evaluating", static_cast<std::uint64_t>((w + 1) * context),
                              static_cast<std::uint64_t>(windows * context), "tokens"))
      return fail(ErrorCode::kCancelled, "the evaluation was stopped after {} of {} windows", w + 1, windows);
  }
  Evaluation out = tally.evaluation();
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return out;
}

}  // namespace nibble
