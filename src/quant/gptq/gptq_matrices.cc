#include "quant/gptq/gptq_matrices.h"

#include <chrono>

#include "base/log.h"

namespace nibble {
namespace {

Result<std::vector<float>> dequantized(const MatrixSource& matrix, ThreadPool& pool) {
  const std::int64_t rows = matrix.rows();
  const std::int64_t cols = matrix.cols();
  const std::int64_t step = matrix.row_step();
  std::vector<float> out(static_cast<std::size_t>(rows * cols));
  const auto steps = static_cast<std::size_t>((rows + step - 1) / step);
  std::vector<Status> failures(steps);
  pool.run(steps, 8, [&](std::size_t begin, std::size_t end, int) {
    QuantizedMatrix part;
    for (std::size_t s = begin; s < end; ++s) {
      const std::int64_t first = static_cast<std::int64_t>(s) * step;
      const std::int64_t count = std::min(step, rows - first);
      failures[s] = matrix.decode(first, count, part);
      if (failures[s].ok()) dequantize(part, out.data() + first * cols);
    }
  });
  for (const Status& failure : failures) NIBBLE_TRY_STATUS(failure);
  matrix.release(0, rows);
  return out;
}

}  // namespace

Result<std::map<LinearId, GptqLinear>> gptq_matrices(const ModelWeights& weights, const CalibrationTokens& tokens,
                                                     const QuantScheme& scheme, const GptqSettings& settings,
                                                     const Progress& progress, ThreadPool& pool) {
  NIBBLE_TRY_STATUS(check_gptq_scheme(scheme));
  std::map<LinearId, GptqLinear> out;
  const QuantizeLinears quantize = [&](std::span<const LinearId> linears,
                                       const InputGram& gram) -> Result<std::vector<MatrixPtr>> {
    const SecondOrder h = prepare_second_order(gram, {settings.damping, settings.order, gptq_group(scheme)}, pool);
    std::vector<MatrixPtr> matrices;
    for (const LinearId id : linears) {
      const LinearInfo& info = weights.layout().linears[static_cast<std::size_t>(id)];
      if (!h.note.empty()) log_warning("{}: {}", info.name, h.note);
      const auto begin = std::chrono::steady_clock::now();
      NIBBLE_TRY(const MatrixPtr original, weights.matrix(id));
      NIBBLE_TRY(std::vector<float> values, dequantized(*original, pool));
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
