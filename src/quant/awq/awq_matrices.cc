#include "quant/awq/awq_matrices.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "base/log.h"
#include "quant/awq/clipping.h"
#include "quant/awq/scale_search.h"
#include "quant/integer_groups.h"
#include "quant/output_error.h"

namespace nibble {
namespace {

/// What is known of an input once its channels have their scales.
struct InputKnowledge {
  QuadraticForm whole;
  std::vector<QuadraticForm> groups;  ///< of the scaled input; empty: nothing to clip by
};

class AwqRun {
 public:
  AwqRun(const ModelWeights& weights, const QuantScheme& scheme, const AwqSettings& settings, bool quantizes,
         ThreadPool& pool)
      : weights_(weights),
        scheme_(scheme),
        settings_(settings),
        quantizes_(quantizes),
        pool_(pool),
        folded_(std::make_shared<FoldedWeights>(weights)) {
    for (const BlockLayout& block : weights.layout().blocks) {
      for (FoldPoint& point : fold_points(weights.config(), block)) points_.push_back(std::move(point));
      not_clipped_.insert(not_clipped_.end(), {block.q_proj, block.k_proj});
    }
  }

  Result<AwqModel> run(const CalibrationTokens& tokens, const Progress& progress) {
    const QuantizeLinears keep = [this](std::span<const LinearId> linears,
                                        const InputGram& gram) -> Result<std::vector<MatrixPtr>> {
      NIBBLE_TRY_STATUS(visit(linears, gram));
      std::vector<MatrixPtr> originals;
      for (const LinearId id : linears) {
        NIBBLE_TRY(MatrixPtr original, weights_.matrix(id));
        originals.push_back(std::move(original));
      }
      return originals;
    };
    NIBBLE_TRY_STATUS(stream_blocks(weights_, tokens, keep, progress, pool_));
    out_.folded = folded_;
    return std::move(out_);
  }

 private:
  const std::string& name(LinearId id) const { return weights_.layout().linears[static_cast<std::size_t>(id)].name; }

  /// At the linears of a point: scales, then whatever has both its columns' and its rows' scales.
  Status visit(std::span<const LinearId> linears, const InputGram& gram) {
    const auto point = std::find_if(points_.begin(), points_.end(), [&](const FoldPoint& p) {
      return std::equal(p.linears.begin(), p.linears.end(), linears.begin(), linears.end());
    });
    NIBBLE_CHECK(point != points_.end());
    const double unit = gram_unit(gram);
    if (unit == 0)
      log_warning("{}: its inputs are all 0, NaN or infinite, so it is rounded to nearest without scales",
                  name(linears.front()));
    auto known = std::make_shared<InputKnowledge>();
    if (unit > 0) {
      known->whole = QuadraticForm(gram, 0, gram.cols, unit);
      NIBBLE_TRY_STATUS(search(*point, gram, known->whole));
      if (quantizes_ && settings_.clip)
        known->groups =
            group_forms(gram, group_columns(scheme_, gram.cols), unit, folded_->column_factors(linears.front()));
    }
    if (!quantizes_) return {};
    for (const LinearId id : linears) {
      const bool waits =
          std::any_of(points_.begin(), points_.end(), [&](const FoldPoint& p) { return p.previous == id; });
      if (waits)
        waiting_[id] = known;
      else
        NIBBLE_TRY_STATUS(quantize(id, *known));
    }
    if (point->previous == kNoWeight) return {};
    NIBBLE_TRY_STATUS(quantize(point->previous, *waiting_.at(point->previous)));
    waiting_.erase(point->previous);
    return {};
  }

  Status search(const FoldPoint& point, const InputGram& gram, const QuadraticForm& h) {
    std::vector<FloatMatrix> matrices;
    for (const LinearId id : point.linears) {
      NIBBLE_TRY(FloatMatrix matrix, finite_weights(weights_, id, pool_));
      matrices.push_back(std::move(matrix));
    }
    const ChannelSizes sizes = channel_sizes(point, gram, matrices, group_columns(scheme_, gram.cols), pool_);
    std::vector<std::vector<float>> channels;  // the scales that can be stored
    std::vector<std::vector<float>> columns;
    for (std::vector<float>& candidate : candidate_scales(sizes)) {
      NIBBLE_TRY(std::vector<float> settled, folded_->settled(point, std::move(candidate)));
      columns.emplace_back(static_cast<std::size_t>(gram.cols));
      for (std::int64_t c = 0; c < gram.cols; ++c)
        columns.back()[static_cast<std::size_t>(c)] = settled[static_cast<std::size_t>(point.channel(c))];
      channels.push_back(std::move(settled));
    }
    const std::vector<double> losses = rounding_losses(matrices, h, scheme_, columns, pool_);
    std::size_t best = 0;
    for (std::size_t i = 1; i < losses.size(); ++i)
      if (losses[i] < losses[best]) best = i;
    out_.points.push_back({name(point.linears.front()), losses[0] > 0 ? losses[best] / losses[0] : 1.0, best});
    return best == 0 ? Status{} : folded_->fold(point, channels[best]);
  }

  Status quantize(LinearId id, const InputKnowledge& known) {
    const auto begin = std::chrono::steady_clock::now();
    NIBBLE_TRY(const FloatMatrix scaled, finite_weights(*folded_, id, pool_));
    warn_of_non_finite(scaled, name(id));
    const bool clips = std::find(not_clipped_.begin(), not_clipped_.end(), id) == not_clipped_.end();
    QuantizedMatrix matrix =
        quantize_clipped(scaled, scheme_, clips ? std::span(known.groups) : std::span<const QuadraticForm>{}, pool_);
    AwqLinear linear;
    if (known.whole.cols() > 0) {
      linear.error = relative_output_error(scaled, matrix, known.whole, folded_->column_factors(id),
                                           folded_->row_divisors(id), pool_);
      NIBBLE_TRY(const FloatMatrix original, finite_weights(weights_, id, pool_));
      linear.rtn_error =
          relative_output_error(original, quantize_clipped(original, scheme_, {}, pool_), known.whole, {}, {}, pool_);
    }
    linear.matrix = make_source(std::move(matrix));
    linear.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    out_.linears[id] = std::move(linear);
    return {};
  }

  const ModelWeights& weights_;
  const QuantScheme& scheme_;
  const AwqSettings& settings_;
  bool quantizes_;
  ThreadPool& pool_;
  std::shared_ptr<FoldedWeights> folded_;
  std::vector<FoldPoint> points_;
  std::vector<LinearId> not_clipped_;
  /// Linears whose columns have their scales and whose rows do not yet.
  std::map<LinearId, std::shared_ptr<const InputKnowledge>> waiting_;
  AwqModel out_;
};

}  // namespace

Status check_awq_scheme(const QuantScheme& scheme) { return check_integer_groups(scheme, "awq"); }

Result<AwqModel> awq_matrices(const ModelWeights& weights, const CalibrationTokens& tokens, const QuantScheme& scheme,
                              const AwqSettings& settings, const Progress& progress, ThreadPool& pool) {
  NIBBLE_TRY_STATUS(check_awq_scheme(scheme));
  return AwqRun(weights, scheme, settings, true, pool).run(tokens, progress);
}

Result<AwqModel> awq_scaled_model(const ModelWeights& weights, const CalibrationTokens& tokens,
                                  const QuantScheme& scheme, const Progress& progress, ThreadPool& pool) {
  NIBBLE_TRY_STATUS(check_awq_scheme(scheme));
  return AwqRun(weights, scheme, AwqSettings{}, false, pool).run(tokens, progress);
}

}  // namespace nibble
