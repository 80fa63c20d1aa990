#include "quant/wnam/wnam_matrices.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/log.h"
#include "quant/rtn/group_grid.h"
#include "quant/weights_as_floats.h"

namespace nibble {
namespace {

double relative_error(std::span<const float> weights, const QuantizedMatrix& quantized,
                      std::span<const float> importance) {
  std::vector<float> values(weights.size());
  weights_as_floats(quantized, values.data());
  double error = 0;
  double norm = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const auto h = static_cast<double>(importance[i % importance.size()]);
    const auto w = static_cast<double>(weights[i]);
    error += h * (w - static_cast<double>(values[i])) * (w - static_cast<double>(values[i]));
    norm += h * w * w;
  }
  return norm > 0 ? error / norm : 0;
}

}  // namespace

std::vector<float> column_importance(const InputGram& gram) {
  constexpr double kLeast = 1e-3;
  double sum = 0;
  for (std::int64_t c = 0; c < gram.cols; ++c) sum += gram.sums[static_cast<std::size_t>(c * gram.cols + c)];
  std::vector<float> out(static_cast<std::size_t>(gram.cols), 1.0f);
  if (!std::isfinite(sum) || !(sum > 0)) return out;
  const double unit = static_cast<double>(gram.cols) / sum;
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
    std::vector<MatrixPtr> matrices;
    for (const LinearId id : linears) {
      const auto begin = std::chrono::steady_clock::now();
      const LinearInfo& info = weights.layout().linears[static_cast<std::size_t>(id)];
      NIBBLE_TRY(const MatrixPtr original, weights.matrix(id));
      NIBBLE_TRY(std::vector<float> values, weights_as_floats(*original, pool));
      original->release(0, info.rows);
      std::int64_t replaced = 0;
      for (std::int64_t r = 0; r < info.rows; ++r)
        replaced += make_finite(
            std::span(values).subspan(static_cast<std::size_t>(r * info.cols), static_cast<std::size_t>(info.cols)));
      if (replaced > 0)
        log_warning("{}: {} NaN or infinite weights were taken as 0 or as the largest finite weight of their row",
                    info.name, replaced);
      QuantizedMatrix matrix = fit_codebooks(values, info.rows, info.cols, importance, scheme, settings.fit, pool);
      WnamLinear linear;
      linear.error = relative_error(values, matrix, importance);
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
