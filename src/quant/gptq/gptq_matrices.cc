#include "quant/gptq/gptq_matrices.h"

#include <chrono>
#include <optional>
#include <utility>

#include "base/log.h"
#include "quant/float_view.h"
#include "quant/gptq/act_order.h"
#include "quant/gptq/output_bias.h"
#include "quant/gptq/static_groups.h"
#include "quant/gptq/target_shift.h"
#include "quant/supplement/fit_supplement.h"
#include "quant/supplement/kept_columns.h"

namespace nibble {
namespace {

class GptqRun {
 public:
  GptqRun(const ModelWeights& weights, const LinearSchemes& schemes, const GptqSettings& settings,
          FinishedLinears& finished, ThreadPool& pool)
      : weights_(weights), schemes_(schemes), settings_(settings), finished_(finished), pool_(pool) {}

  Result<std::vector<MatrixPtr>> quantize(std::span<const LinearId> linears, const InputGram& gram) const {
    if (settings_.static_groups) return quantize(linears, gram, ColumnOrder::kAsStored, {gram, {}});
    if (!settings_.act_order) return quantize(linears, gram, settings_.order, {gram, {}});
    const std::vector<std::int32_t> order = activation_order(gram);
    const InputGram ordered = in_order(gram, order);
    return quantize(linears, gram, ColumnOrder::kAsStored, {ordered, order});
  }

 private:
  /// What error feedback sees of the inputs.
  struct Columns {
    const InputGram& gram;
    std::span<const std::int32_t> order;  ///< of the linear's columns; empty: as they are
  };
  /// What a grid's shape makes of them.
  struct Prepared {
    SecondOrder h;
    SecondOrder by_size;  ///< with static groups only
  };

  Result<std::vector<MatrixPtr>> quantize(std::span<const LinearId> linears, const InputGram& gram, ColumnOrder order,
                                          const Columns& columns) const {
    const QuadraticForm form(gram, 0, gram.cols, gram_unit(gram));
    std::vector<MatrixPtr> matrices;
    Prepared prepared;
    std::optional<GridShape> shape;  // of the scheme that it was made for
    for (const LinearId id : linears) {
      const LinearInfo& info = weights_.layout().linears[static_cast<std::size_t>(id)];
      if (schemes_.of(id).is_float()) {  // of a mixture: no type with fewer bits has rows of this length
        NIBBLE_TRY(MatrixPtr original, weights_.matrix(id));
        matrices.push_back(float_view(std::move(original), schemes_.of(id).code.float_type));
        continue;
      }
      const GridShape wanted = grid_shape(schemes_.of(id), gram.cols);
      if (shape != wanted) {
        prepared.h = prepare_second_order(columns.gram, second_order(order, id, gram), pool_);
        if (settings_.static_groups)
          prepared.by_size = prepare_second_order(gram, second_order(ColumnOrder::kBySize, id, gram), pool_);
        shape = wanted;
      }
      if (!prepared.h.note.empty()) log_warning("{}: {}", info.name, prepared.h.note);
      NIBBLE_TRY(const MatrixPtr matrix, quantize_one(id, info, gram, columns, prepared, form));
      matrices.push_back(matrix);
    }
    return matrices;
  }

  SecondOrderOptions second_order(ColumnOrder order, LinearId id, const InputGram& gram) const {
    SecondOrderOptions options = second_order_options(settings_.damping, order, schemes_.of(id), gram.cols);
    if (settings_.shrinkage) options.shrinkage = shrinkage_for(gram.cols, gram.tokens);
    return options;
  }

  QuantizedMatrix feed_errors(LinearId id, std::span<float> targets, std::int64_t rows, const SecondOrder& h) const {
    GptqReport report;
    return quantize_gptq(targets, rows, h, schemes_.of(id), settings_.options, pool_, report);
  }

  Result<MatrixPtr> quantize_one(LinearId id, const LinearInfo& info, const InputGram& gram, const Columns& columns,
                                 const Prepared& prepared, const QuadraticForm& form) const {
    const auto begin = std::chrono::steady_clock::now();
    NIBBLE_TRY(FloatMatrix weights, finite_weights(weights_, id, pool_));
    warn_of_non_finite(weights, info.name);
    std::vector<float> targets = columns.order.empty() ? weights.values : in_order(weights.values, columns.order);
    if (settings_.target_shift > 0)
      shift_towards_target(targets, info.rows, prepared.h, columns.gram, settings_.target_shift, pool_);
    QuantizedMatrix matrix = settings_.static_groups
                                 ? quantize_static_groups(targets, info.rows, prepared.h, prepared.by_size,
                                                          schemes_.of(id), settings_.options, pool_)
                                 : feed_errors(id, targets, info.rows, prepared.h);
    const bool ordered = !columns.order.empty();
    const std::span<const float> wanted = ordered ? weights.values : targets;
    if (ordered) matrix = with_group_index(std::move(matrix), columns.order);
    const std::vector<std::int32_t> kept = most_harmed_columns(wanted, gram, matrix);
    if (!kept.empty() && !ordered && !settings_.static_groups)  // again, for what these cannot take back
      matrix = feed_errors(
          id, targets, info.rows,
          prepare_second_order(beside_kept(gram, kept, pool_), second_order(settings_.order, id, gram), pool_));
    fit_supplement(wanted, gram, kept, matrix, pool_);
    FinishedLinear linear;
    if (settings_.bias_correction) {
      NIBBLE_TRY(linear.bias, corrected_bias(weights_, id, wanted, matrix, mean_inputs(gram)));
    }
    measure_errors(weights, matrix, form, linear, pool_);
    linear.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return finished_.finish(id, std::move(matrix), std::move(linear));
  }

  const ModelWeights& weights_;
  const LinearSchemes& schemes_;
  const GptqSettings& settings_;
  FinishedLinears& finished_;
  ThreadPool& pool_;
};

}  // namespace

Status gptq_matrices(const ModelWeights& weights, const CalibrationTokens& tokens, const LinearSchemes& schemes,
                     const GptqSettings& settings, StreamOptions stream, FinishedLinears& finished, ThreadPool& pool) {
  for (std::size_t i = 0; i < weights.layout().linears.size(); ++i) {
    const LinearInfo& info = weights.layout().linears[i];
    const QuantScheme& scheme = schemes.of(static_cast<LinearId>(i));
    if (info.role != LinearInfo::Role::kBlock || scheme.is_float()) continue;
    if (const Status status = check_gptq_scheme(scheme, info.cols); !status.ok())
      return with_context(status.error(), info.name);
  }
  const GptqRun run(weights, schemes, settings, finished, pool);
  const QuantizeLinears quantize = [&](std::span<const LinearId> linears, const InputGram& gram) {
    return run.quantize(linears, gram);
  };
  stream.drift = settings.target_shift > 0;
  stream.known = [&](std::span<const LinearId> linears) { return finished.recorded(linears); };
  stream.bias = [&](LinearId id) { return finished.bias(id); };
  return stream_blocks(weights, tokens, quantize, stream, pool);
}

}  // namespace nibble
