// The vocabulary goes by in tiles, twice: for the logarithm of the sum of exponentials, then with probabilities.
#include "quant/bits/head_sensitivity.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "kernel/gemm/gemm.h"

namespace nibble {
namespace {

using kernel::GemmInput;

/// A number in [0, 1) that seed and position decide (SplitMix64's finalizer).
double uniform_at(std::uint64_t seed, std::uint64_t position) {
  std::uint64_t z = seed * 0x9E3779B97F4A7C15u + (position + 1) * 0xD1B54A32D192ED03u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/// What is known of one token's distribution while tiles go by.
struct TokenState {
  float max = -std::numeric_limits<float>::infinity();
  double sum = 0;   ///< of exp(logit - max)
  double draw = 0;  ///< the token drawn is where the cumulative probability passes this
  double cumulative = 0;
  bool drawn = false;
};

class HeadPass {
 public:
  HeadPass(const ModelWeights& weights, const std::vector<float>& input, const RoundingErrors& head, ThreadPool& pool)
      : weights_(weights),
        input_(input),
        head_(head),
        pool_(pool),
        width_(head.cols()),
        tokens_(static_cast<std::int64_t>(input.size()) / head.cols()),
        states_(static_cast<std::size_t>(tokens_)),
        drawn_at_(states_.size(), -1) {}

  Result<HeadSensitivity> run(std::uint64_t seed) {
    NIBBLE_TRY(bias_, weights_.bias(weights_.layout().head));
    for (std::int64_t t = 0; t < tokens_; ++t)
      states_[static_cast<std::size_t>(t)].draw = uniform_at(seed, static_cast<std::uint64_t>(t));
    out_.gradient.assign(input_.size(), 0.0f);
    const std::size_t sums = head_.schemes() * static_cast<std::size_t>(tokens_);
    first_moments_.assign(sums, 0.0);
    second_moments_.assign(sums, 0.0);
    const std::int64_t step = head_.row_step();
    const std::int64_t tile = (kHeadTileRows + step - 1) / step * step;
    for (std::int64_t begin = 0; begin < head_.rows(); begin += tile)
      NIBBLE_TRY_STATUS(add_to_sums(begin, std::min(tile, head_.rows() - begin)));
    for (std::int64_t begin = 0; begin < head_.rows(); begin += tile)
      NIBBLE_TRY_STATUS(visit(begin, std::min(tile, head_.rows() - begin)));
    head_.release();
    for (std::size_t s = 0; s < head_.schemes(); ++s) {
      double sum = 0;
      for (std::int64_t t = 0; t < tokens_; ++t) {
        const std::size_t at = s * static_cast<std::size_t>(tokens_) + static_cast<std::size_t>(t);
        sum += std::max(0.0, second_moments_[at] - first_moments_[at] * first_moments_[at]);
      }
      out_.growth.push_back(0.5 * sum / static_cast<double>(tokens_));
    }
    return std::move(out_);
  }

 private:
  template <typename Body>
  void each_token(Body&& body) {
    pool_.run(static_cast<std::size_t>(tokens_), 16, [&](std::size_t begin, std::size_t end, int) {
      for (std::size_t t = begin; t < end; ++t) body(t);
    });
  }

  /// out [tokens, rows of the tile] = input times the tile's rows.
  void multiply(const std::vector<float>& rows, std::int64_t count, std::vector<float>& out) {
    out.resize(static_cast<std::size_t>(tokens_ * count));
    kernel::gemm({GemmInput::rows(input_.data(), width_), GemmInput::transposed(rows.data(), width_), tokens_, count,
                  width_, out.data(), count, false},
                 pool_);
  }

  /// The logits of the tile's rows before the soft cap.
  Status load(std::int64_t begin, std::int64_t count) {
    NIBBLE_TRY_STATUS(head_.weights(begin, count, tile_, pool_));
    multiply(tile_, count, logits_);
    if (bias_.empty()) return {};
    each_token([&](std::size_t t) {
      for (std::int64_t v = 0; v < count; ++v)
        logits_[t * static_cast<std::size_t>(count) + static_cast<std::size_t>(v)] +=
            bias_[static_cast<std::size_t>(begin + v)];
    });
    return {};
  }

  float capped(float x) const {
    const float c = weights_.config().final_logit_softcapping;
    return c > 0 ? c * std::tanh(x / c) : x;
  }
  /// The derivative of capped() where it gives `y`.
  float slope(float y) const {
    const float c = weights_.config().final_logit_softcapping;
    return c > 0 ? 1.0f - (y / c) * (y / c) : 1.0f;
  }

  Status add_to_sums(std::int64_t begin, std::int64_t count) {
    NIBBLE_TRY_STATUS(load(begin, count));
    each_token([&](std::size_t t) {
      const float* row = logits_.data() + static_cast<std::int64_t>(t) * count;
      TokenState& state = states_[t];
      float max = state.max;
      for (std::int64_t v = 0; v < count; ++v) max = std::max(max, capped(row[v]));
      double sum = state.sum > 0 ? state.sum * std::exp(static_cast<double>(state.max - max)) : 0.0;
      for (std::int64_t v = 0; v < count; ++v) sum += static_cast<double>(std::exp(capped(row[v]) - max));
      state.max = max;
      state.sum = sum;
    });
    return {};
  }

  Status visit(std::int64_t begin, std::int64_t count) {
    NIBBLE_TRY_STATUS(load(begin, count));
    slopes_.resize(logits_.size());
    each_token([&](std::size_t t) { differentiate(t, begin, count); });
    // Now logits_ holds probabilities, slopes_ the caps' derivatives.
    for (std::size_t s = 0; s < head_.schemes(); ++s) {
      NIBBLE_TRY_STATUS(head_.errors(s, begin, count, tile_, errors_, pool_));
      multiply(errors_, count, changes_);
      each_token([&](std::size_t t) { add_moments(s, t, count); });
    }
    // The gradient by a logit: 1 for the token drawn, less its probability.
    each_token([&](std::size_t t) {
      float* p = logits_.data() + static_cast<std::int64_t>(t) * count;
      const float* slope = slopes_.data() + static_cast<std::int64_t>(t) * count;
      const std::int64_t drawn = drawn_at_[t];
      for (std::int64_t v = 0; v < count; ++v) p[v] = ((v == drawn ? 1.0f : 0.0f) - p[v]) * slope[v];
    });
    kernel::gemm({GemmInput::rows(logits_.data(), count), GemmInput::rows(tile_.data(), width_), tokens_, width_, count,
                  out_.gradient.data(), width_, true},
                 pool_);
    return {};
  }

  /// Logits of a token become probabilities; its drawn token may be among them.
  void differentiate(std::size_t t, std::int64_t begin, std::int64_t count) {
    float* row = logits_.data() + static_cast<std::int64_t>(t) * count;
    float* slopes = slopes_.data() + static_cast<std::int64_t>(t) * count;
    TokenState& state = states_[t];
    const double scale = 1.0 / state.sum;
    drawn_at_[t] = -1;
    const bool last = begin + count == head_.rows();
    for (std::int64_t v = 0; v < count; ++v) {
      const float y = capped(row[v]);
      slopes[v] = slope(y);
      const double p = static_cast<double>(std::exp(y - state.max)) * scale;
      row[v] = static_cast<float>(p);
      state.cumulative += p;
      if (state.drawn || (state.cumulative <= state.draw && !(last && v + 1 == count))) continue;
      state.drawn = true;
      drawn_at_[t] = v;
    }
  }

  void add_moments(std::size_t scheme, std::size_t t, std::int64_t count) {
    const std::int64_t at = static_cast<std::int64_t>(t) * count;
    double first = 0;
    double second = 0;
    for (std::int64_t v = at; v < at + count; ++v) {
      const auto i = static_cast<std::size_t>(v);
      const double change = static_cast<double>(changes_[i] * slopes_[i]);
      const double weighted = static_cast<double>(logits_[i]) * change;
      first += weighted;
      second += weighted * change;
    }
    first_moments_[scheme * states_.size() + t] += first;
    second_moments_[scheme * states_.size() + t] += second;
  }

  const ModelWeights& weights_;
  const std::vector<float>& input_;
  const RoundingErrors& head_;
  ThreadPool& pool_;
  std::int64_t width_;
  std::int64_t tokens_;
  std::vector<float> bias_;
  std::vector<TokenState> states_;
  std::vector<std::int64_t> drawn_at_;  ///< in the tile; -1: elsewhere
  std::vector<double> first_moments_;   ///< [schemes, tokens], of the logits' changes under p
  std::vector<double> second_moments_;
  std::vector<float> tile_;     ///< [rows, width]
  std::vector<float> errors_;   ///< [rows, width]
  std::vector<float> logits_;   ///< [tokens, rows]
  std::vector<float> slopes_;   ///< [tokens, rows]
  std::vector<float> changes_;  ///< [tokens, rows]
  HeadSensitivity out_;
};

}  // namespace

Result<HeadSensitivity> head_sensitivity(const ModelWeights& weights, const std::vector<float>& input,
                                         const RoundingErrors& head, std::uint64_t seed, ThreadPool& pool) {
  return HeadPass(weights, input, head, pool).run(seed);
}

}  // namespace nibble
