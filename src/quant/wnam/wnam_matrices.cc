#include "quant/wnam/wnam_matrices.h"

#include <algorithm>
#include <chrono>

#include "quant/output_error.h"

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

Result<std::map<LinearId, WnamLinear>> wnam_matrices(const ModelWeights& weights, const CalibrationTokens& tokens,
                                                     const QuantScheme& scheme, const WnamSettings& settings,
                                                     const Progress& progress, ThreadPool& pool) {
  NIBBLE_TRY_STATUS(check_codebook_scheme(scheme));
  std::map<LinearId, WnamLinear> out;
  const QuantizeLinears quantize = [&](std::span<const LinearId> linears,
                                       const InputGram& gram) -> Result<std::vector<MatrixPtr>> {
    const std::vector<float> importance = column_importance(gram);
    const QuadraticForm h(gram, 0, gram.cols, gram_unit(gram));
    std::vector<MatrixPtr> matrices;
    for (const LinearId id : linears) {
      const auto begin = std::chrono::steady_clock::now();
      NIBBLE_TRY(const FloatMatrix w, finite_weights(weights, id, pool));
      warn_of_non_finite(w, weights.layout().linears[static_cast<std::size_t>(id)].name);
      QuantizedMatrix matrix = fit_codebooks(w.values, w.rows, w.cols, importance, scheme, settings.fit, pool);
      WnamLinear linear;
      linear.error = relative_output_error(w, matrix, h, {}, {}, pool);
      linear.matrix = make_source(std::move(matrix));
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
