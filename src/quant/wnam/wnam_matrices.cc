#include "quant/wnam/wnam_matrices.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "quant/gptq/output_bias.h"
#include "quant/supplement/fit_supplement.h"
#include "quant/supplement/kept_columns.h"

namespace nibble {

std::vector<float> column_importance(const InputGram& gram) {
  constexpr double kLeast = 1e-3;
  const double unit = gram_unit(gram);
  std::vector<float> out(static_cast<std::size_t>(gram.cols), 1.0f);
  if (unit == 0) return out;
  for (std::int64_t c = 0; c < gram.cols; ++c)
    out[static_cast<std::size_t>(c)] =
        static_cast<float>(std::max(gram.sums[static_cast<std::size_t>(c * gram.cols + c)] * unit, kLeast));
  return out;
}

namespace {

/// Codebooks, and what is kept beside them: its columns are chosen by a first fit, and count for next to nothing in a
/// second.
QuantizedMatrix fit_with_kept_columns(const FloatMatrix& w, const InputGram& gram, std::span<const float> importance,
                                      const QuantScheme& scheme, const CodebookOptions& options, ThreadPool& pool) {
  constexpr float kNextToNothing = 1e-6f;
  QuantizedMatrix matrix = fit_codebooks(w.values, w.rows, w.cols, importance, scheme, options, pool);
  const std::vector<std::int32_t> kept = most_harmed_columns(w.values, gram, matrix);
  if (!kept.empty()) {
    std::vector<float> beside(importance.begin(), importance.end());
    for (std::size_t row = 0; row < beside.size(); row += static_cast<std::size_t>(w.cols))
      for (const std::int32_t column : kept) beside[row + static_cast<std::size_t>(column)] = kNextToNothing;
    matrix = fit_codebooks(w.values, w.rows, w.cols, beside, scheme, options, pool);
  }
  fit_supplement(w.values, gram, kept, matrix, pool);
  return matrix;
}

}  // namespace

Result<std::vector<MatrixPtr>> WnamFitter::fit(std::span<const LinearId> linears, const InputGram& gram,
                                               const std::function<std::vector<float>(std::size_t)>& importance) const {
  const QuadraticForm h(gram, 0, gram.cols, gram_unit(gram));
  const std::vector<float> means = settings.bias_correction ? mean_inputs(gram) : std::vector<float>();
  std::vector<MatrixPtr> matrices;
  for (std::size_t i = 0; i < linears.size(); ++i) {
    const auto begin = std::chrono::steady_clock::now();
    const LinearId id = linears[i];
    NIBBLE_TRY(const FloatMatrix w, finite_weights(weights, id, pool));
    warn_of_non_finite(w, weights.layout().linears[static_cast<std::size_t>(id)].name);
    QuantizedMatrix matrix = fit_with_kept_columns(w, gram, importance(i), schemes.of(id), settings.fit, pool);
    FinishedLinear linear;
    NIBBLE_TRY(linear.bias, corrected_bias(weights, id, w.values, matrix, means));
    measure_errors(w, matrix, h, linear, pool);
    linear.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    NIBBLE_TRY(matrices.emplace_back(), finished.finish(id, std::move(matrix), std::move(linear)));
  }
  return matrices;
}

Status wnam_matrices(const ModelWeights& weights, const CalibrationTokens& tokens, const LinearSchemes& schemes,
                     const WnamSettings& settings, StreamOptions stream, FinishedLinears& finished, ThreadPool& pool) {
  for (const QuantScheme& scheme : schemes.of_blocks(weights.layout()))
    NIBBLE_TRY_STATUS(check_codebook_scheme(scheme));
  const WnamFitter fitter{weights, schemes, settings, finished, pool};
  const QuantizeLinears quantize = [&](std::span<const LinearId> linears, const InputGram& gram) {
    return fitter.fit(linears, gram, [&](std::size_t) { return column_importance(gram); });
  };
  stream.known = [&](std::span<const LinearId> linears) { return finished.recorded(linears); };
  stream.bias = [&](LinearId id) { return finished.bias(id); };
  return stream_blocks(weights, tokens, quantize, stream, pool);
}

}  // namespace nibble
