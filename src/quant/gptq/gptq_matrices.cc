#include "quant/gptq/gptq_matrices.h"

#include <chrono>

#include "base/log.h"
#include "quant/weights_as_floats.h"

namespace nibble {

Result<std::map<LinearId, GptqLinear>> gptq_matrices(const ModelWeights& weights, const CalibrationTokens& tokens,
                                                     const QuantScheme& scheme, const GptqSettings& settings,
                                                     const Progress& progress, ThreadPool& pool) {
  for (const LinearInfo& info : weights.layout().linears) {
    if (info.role != LinearInfo::Role::kBlock) continue;
    if (const Status status = check_gptq_scheme(scheme, info.cols); !status.ok())
      return with_context(status.error(), info.name);
  }
  std::map<LinearId, GptqLinear> out;
  const QuantizeLinears quantize = [&](std::span<const LinearId> linears,
                                       const InputGram& gram) -> Result<std::vector<MatrixPtr>> {
    SecondOrderOptions options = second_order_options(settings.damping, settings.order, scheme, gram.cols);
    if (settings.shrinkage) options.shrinkage = shrinkage_for(gram.cols, gram.tokens);
    const SecondOrder h = prepare_second_order(gram, options, pool);
    std::vector<MatrixPtr> matrices;
    for (const LinearId id : linears) {
      const LinearInfo& info = weights.layout().linears[static_cast<std::size_t>(id)];
      if (!h.note.empty()) log_warning("{}: {}", info.name, h.note);
      const auto begin = std::chrono::steady_clock::now();
      NIBBLE_TRY(const MatrixPtr original, weights.matrix(id));
      NIBBLE_TRY(std::vector<float> values, weights_as_floats(*original, pool));
      original->release(0, info.rows);
      GptqReport report;
      GptqLinear linear;
      linear.matrix = make_source(quantize_gptq(values, info.rows, h, scheme, settings.options, pool, report));
      if (report.non_finite > 0)
        log_warning("{}: {} NaN or infinite weights were taken as 0 or as the largest finite weight of their row",
                    info.name, report.non_finite);
      linear.error = report.error;
      linear.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      matrices.push_back(linear.matrix);
      out.emplace(id, std::move(linear));
    }
    return matrices;
  };
  NIBBLE_TRY_STATUS(stream_blocks(weights, tokens, quantize, progress, pool));
  return out;
}

}  // namespace nibble
