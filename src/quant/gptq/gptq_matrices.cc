#include "quant/gptq/gptq_matrices.h"

#include <chrono>
#include <optional>
#include <utility>

#include "base/log.h"

namespace nibble {
namespace {

class GptqRun {
 public:
  GptqRun(const ModelWeights& weights, const LinearSchemes& schemes, const GptqSettings& settings,
          FinishedLinears& finished, ThreadPool& pool)
      : weights_(weights), schemes_(schemes), settings_(settings), finished_(finished), pool_(pool) {}

  Result<std::vector<MatrixPtr>> quantize(std::span<const LinearId> linears, const InputGram& gram) const {
    SecondOrderOptions options =
        second_order_options(settings_.damping, settings_.order, schemes_.of(linears), gram.cols);
    if (settings_.shrinkage) options.shrinkage = shrinkage_for(gram.cols, gram.tokens);
    const SecondOrder h = prepare_second_order(gram, options, pool_);
    const QuadraticForm form(gram, 0, gram.cols, gram_unit(gram));
    std::vector<MatrixPtr> matrices;
    for (const LinearId id : linears) {
      const LinearInfo& info = weights_.layout().linears[static_cast<std::size_t>(id)];
      if (!h.note.empty()) log_warning("{}: {}", info.name, h.note);
      NIBBLE_TRY(const MatrixPtr matrix, quantize_one(id, info, h, form));
      matrices.push_back(matrix);
    }
    return matrices;
  }

 private:
  Result<MatrixPtr> quantize_one(LinearId id, const LinearInfo& info, const SecondOrder& h,
                                 const QuadraticForm& form) const {
    const auto begin = std::chrono::steady_clock::now();
    NIBBLE_TRY(FloatMatrix weights, finite_weights(weights_, id, pool_));
    warn_of_non_finite(weights, info.name);
    GptqReport report;
    QuantizedMatrix matrix =
        quantize_gptq(weights.values, info.rows, h, schemes_.of(id), settings_.options, pool_, report);
    FinishedLinear linear;
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
    if (info.role != LinearInfo::Role::kBlock) continue;
    if (const Status status = check_gptq_scheme(schemes.of(static_cast<LinearId>(i)), info.cols); !status.ok())
      return with_context(status.error(), info.name);
  }
  const GptqRun run(weights, schemes, settings, finished, pool);
  const QuantizeLinears quantize = [&](std::span<const LinearId> linears, const InputGram& gram) {
    return run.quantize(linears, gram);
  };
  stream.known = [&](std::span<const LinearId> linears) { return finished.recorded(linears); };
  return stream_blocks(weights, tokens, quantize, stream, pool);
}

}  // namespace nibble
