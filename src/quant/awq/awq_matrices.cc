#include "quant/awq/awq_matrices.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "quant/awq/clipping.h"
#include "quant/awq/scale_search.h"
#include "quant/gptq/output_bias.h"
#include "quant/integer_groups.h"
#include "quant/output_error.h"

namespace nibble {
namespace {

/// What is known of an input once its channels have their scales.
struct InputKnowledge {
  QuadraticForm whole;
  std::vector<QuadraticForm> groups;  ///< of the scaled input; empty: nothing to clip by
  std::vector<float> means;           ///< of the input before scaling; empty: biases stay
};

class AwqRun {
 public:
  /// `finished` is null where only scales are wanted; `journal` may be null.
  AwqRun(const ModelWeights& weights, const LinearSchemes& schemes, const AwqSettings& settings,
         FinishedLinears* finished, Journal* journal, ThreadPool& pool)
      : weights_(weights),
        schemes_(schemes),
        settings_(settings),
        finished_(finished),
        journal_(journal),
        pool_(pool),
        folded_(std::make_shared<FoldedWeights>(weights)) {
    for (const BlockLayout& block : weights.layout().blocks) {
      blocks_.push_back({fold_points(weights.config(), block), {}, false});
      not_clipped_.insert(not_clipped_.end(), {block.q_proj, block.k_proj});
    }
  }

  Result<AwqModel> run(const CalibrationTokens& tokens, StreamOptions stream) {
    for (std::size_t layer = 0; layer < blocks_.size(); ++layer) NIBBLE_TRY_STATUS(restore(layer));
    const QuantizeLinears keep = [this](std::span<const LinearId> linears,
                                        const InputGram& gram) -> Result<std::vector<MatrixPtr>> {
      NIBBLE_TRY_STATUS(visit(linears, gram));
      return originals(linears);
    };
    stream.known = [this](std::span<const LinearId> linears) -> std::optional<std::vector<MatrixPtr>> {
      if (!block_of(linears).known) return std::nullopt;
      Result<std::vector<MatrixPtr>> matrices = originals(linears);
      if (!matrices.ok()) return std::nullopt;
      return *std::move(matrices);
    };
    NIBBLE_TRY_STATUS(stream_blocks(weights_, tokens, keep, stream, pool_));
    out_.folded = folded_;
    return std::move(out_);
  }

 private:
  struct Block {
    std::vector<FoldPoint> points;
    std::vector<std::vector<float>> scales;  ///< of each point; empty: none are better than 1
    bool known = false;                      ///< from an interrupted run
  };

  const LinearInfo& info(LinearId id) const { return weights_.layout().linears[static_cast<std::size_t>(id)]; }
  const std::string& name(LinearId id) const { return info(id).name; }
  Block& block_of(std::span<const LinearId> linears) {
    return blocks_[static_cast<std::size_t>(info(linears.front()).layer)];
  }
  static std::string entry_name(std::size_t layer) { return fmt::format("awq-scales-{}.json", layer); }

  Result<std::vector<MatrixPtr>> originals(std::span<const LinearId> linears) const {
    std::vector<MatrixPtr> out;
    for (const LinearId id : linears) {
      NIBBLE_TRY(out.emplace_back(), weights_.matrix(id));
    }
    return out;
  }

  /// The recorded scales of a block's points; nothing where the record is damaged.
  static std::optional<std::vector<std::vector<float>>> scales_of(const std::string& text,
                                                                  const std::vector<FoldPoint>& points) {
    const Result<Json> json = parse_untrusted(text, "scales");
    if (!json.ok() || !json->is_array() || json->size() != points.size()) return std::nullopt;
    std::vector<std::vector<float>> out;
    for (std::size_t i = 0; i < points.size(); ++i) {
      const Json& list = (*json)[i];
      const bool fits =
          list.is_array() && (list.empty() || list.size() == static_cast<std::size_t>(points[i].channels));
      if (!fits || !std::all_of(list.begin(), list.end(), [](const Json& s) { return s.is_number(); }))
        return std::nullopt;
      out.push_back(list.get<std::vector<float>>());
    }
    return out;
  }

  /// Takes over a block that an interrupted run had finished. Its scales are recorded last.
  Status restore(std::size_t layer) {
    if (journal_ == nullptr) return {};
    Block& block = blocks_[layer];
    const std::optional<std::string> text = journal_->find_text(entry_name(layer));
    if (!text) return {};
    const std::optional<std::vector<std::vector<float>>> scales = scales_of(*text, block.points);
    if (!scales) return {};
    std::vector<LinearId> linears;
    for (const FoldPoint& point : block.points)
      linears.insert(linears.end(), point.linears.begin(), point.linears.end());
    if (finished_ != nullptr && !finished_->recorded(linears)) return {};
    block.scales = *scales;
    for (std::size_t i = 0; i < block.points.size(); ++i)
      if (!block.scales[i].empty()) NIBBLE_TRY_STATUS(folded_->fold(block.points[i], block.scales[i]));
    block.known = true;
    return {};
  }

  /// At the linears of a point: scales, then whatever has both its columns' and its rows' scales.
  Status visit(std::span<const LinearId> linears, const InputGram& gram) {
    Block& block = block_of(linears);
    const auto point = std::find_if(block.points.begin(), block.points.end(), [&](const FoldPoint& p) {
      return std::equal(p.linears.begin(), p.linears.end(), linears.begin(), linears.end());
    });
    NIBBLE_CHECK(point != block.points.end());
    block.scales.emplace_back();
    const double unit = gram_unit(gram);
    if (unit == 0)
      log_warning("{}: its inputs are all 0, NaN or infinite, so it is rounded to nearest without scales",
                  name(linears.front()));
    auto known = std::make_shared<InputKnowledge>();
    if (unit > 0) {
      known->whole = QuadraticForm(gram, 0, gram.cols, unit);
      NIBBLE_TRY(block.scales.back(), search(*point, gram, known->whole));
      if (finished_ != nullptr && settings_.clip)
        known->groups = group_forms(gram, group_columns(schemes_.of(linears), gram.cols), unit,
                                    folded_->column_factors(linears.front()));
    }
    if (settings_.bias_correction) known->means = mean_inputs(gram);
    if (finished_ != nullptr) NIBBLE_TRY_STATUS(quantize_ready(block, *point, known));
    if (journal_ == nullptr || block.scales.size() < block.points.size()) return {};
    return journal_->put_text(entry_name(static_cast<std::size_t>(&block - blocks_.data())), Json(block.scales).dump());
  }

  /// Quantizes what has the scales of both its columns and its rows once `point` has its own.
  Status quantize_ready(const Block& block, const FoldPoint& point, const std::shared_ptr<InputKnowledge>& known) {
    for (const LinearId id : point.linears) {
      const bool waits =
          std::any_of(block.points.begin(), block.points.end(), [&](const FoldPoint& p) { return p.previous == id; });
      if (waits)
        waiting_[id] = known;
      else
        NIBBLE_TRY_STATUS(quantize(id, *known));
    }
    if (point.previous == kNoWeight) return {};
    NIBBLE_TRY_STATUS(quantize(point.previous, *waiting_.at(point.previous)));
    waiting_.erase(point.previous);
    return {};
  }

  /// The best scales, folded; empty: 1.
  Result<std::vector<float>> search(const FoldPoint& point, const InputGram& gram, const QuadraticForm& h) {
    std::vector<FloatMatrix> matrices;
    for (const LinearId id : point.linears) {
      NIBBLE_TRY(FloatMatrix matrix, finite_weights(weights_, id, pool_));
      matrices.push_back(std::move(matrix));
    }
    const ChannelSizes sizes =
        channel_sizes(point, gram, matrices, group_columns(schemes_.of(point.linears), gram.cols), pool_);
    std::vector<std::vector<float>> channels;  // the scales that can be stored
    std::vector<std::vector<float>> columns;
    for (std::vector<float>& candidate : candidate_scales(sizes)) {
      NIBBLE_TRY(std::vector<float> settled, folded_->settled(point, std::move(candidate)));
      columns.emplace_back(static_cast<std::size_t>(gram.cols));
      for (std::int64_t c = 0; c < gram.cols; ++c)
        columns.back()[static_cast<std::size_t>(c)] = settled[static_cast<std::size_t>(point.channel(c))];
      channels.push_back(std::move(settled));
    }
    const std::vector<double> losses = rounding_losses(matrices, h, schemes_.of(point.linears), columns, pool_);
    std::size_t best = 0;
    for (std::size_t i = 1; i < losses.size(); ++i)
      if (losses[i] < losses[best]) best = i;
    out_.points.push_back({name(point.linears.front()), losses[0] > 0 ? losses[best] / losses[0] : 1.0, best});
    if (best == 0) return std::vector<float>();
    NIBBLE_TRY_STATUS(folded_->fold(point, channels[best]));
    return std::move(channels[best]);
  }

  Status quantize(LinearId id, const InputKnowledge& known) {
    const auto begin = std::chrono::steady_clock::now();
    NIBBLE_TRY(const FloatMatrix scaled, finite_weights(*folded_, id, pool_));
    warn_of_non_finite(scaled, name(id));
    const bool clips = std::find(not_clipped_.begin(), not_clipped_.end(), id) == not_clipped_.end();
    QuantizedMatrix matrix = quantize_clipped(
        scaled, schemes_.of(id), clips ? std::span(known.groups) : std::span<const QuadraticForm>{}, pool_);
    FinishedLinear linear;
    std::vector<float> means = known.means;
    const std::span<const float> factors = folded_->column_factors(id);
    if (!factors.empty())
      for (std::size_t c = 0; c < means.size(); ++c) means[c] /= factors[c];
    NIBBLE_TRY(linear.bias, corrected_bias(*folded_, id, scaled.values, matrix, means));
    if (known.whole.cols() > 0) {
      linear.error = relative_output_error(scaled, matrix, known.whole, folded_->column_factors(id),
                                           folded_->row_divisors(id), pool_);
      NIBBLE_TRY(const FloatMatrix original, finite_weights(weights_, id, pool_));
      linear.rtn_error = relative_output_error(original, quantize_clipped(original, schemes_.of(id), {}, pool_),
                                               known.whole, {}, {}, pool_);
    }
    linear.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    NIBBLE_TRY([[maybe_unused]] const MatrixPtr kept, finished_->finish(id, std::move(matrix), std::move(linear)));
    return {};
  }

  const ModelWeights& weights_;
  const LinearSchemes& schemes_;
  const AwqSettings& settings_;
  FinishedLinears* finished_;
  Journal* journal_;
  ThreadPool& pool_;
  std::shared_ptr<FoldedWeights> folded_;
  std::vector<Block> blocks_;
  std::vector<LinearId> not_clipped_;
  /// Linears whose columns have their scales and whose rows do not yet.
  std::map<LinearId, std::shared_ptr<const InputKnowledge>> waiting_;
  AwqModel out_;
};

}  // namespace

Status check_awq_scheme(const QuantScheme& scheme) { return check_integer_groups(scheme, "awq"); }

Result<AwqModel> awq_matrices(const ModelWeights& weights, const CalibrationTokens& tokens,
                              const LinearSchemes& schemes, const AwqSettings& settings, StreamOptions stream,
                              FinishedLinears& finished, ThreadPool& pool) {
  for (const QuantScheme& scheme : schemes.of_blocks(weights.layout())) NIBBLE_TRY_STATUS(check_awq_scheme(scheme));
  return AwqRun(weights, schemes, settings, &finished, finished.journal(), pool).run(tokens, std::move(stream));
}

Result<AwqModel> awq_scaled_model(const ModelWeights& weights, const CalibrationTokens& tokens,
                                  const LinearSchemes& schemes, StreamOptions stream, Journal* journal,
                                  ThreadPool& pool) {
  for (const QuantScheme& scheme : schemes.of_blocks(weights.layout())) NIBBLE_TRY_STATUS(check_awq_scheme(scheme));
  const AwqSettings settings;
  return AwqRun(weights, schemes, settings, nullptr, journal, pool).run(tokens, std::move(stream));
}

}  // namespace nibble
