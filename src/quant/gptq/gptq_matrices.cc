#include "quant/gptq/gptq_matrices.h"

#include <chrono>
#include <optional>
#include <utility>

#include "base/log.h"
#include "quant/calibration/layer_error.h"
#include "quant/rtn/rtn.h"
#include "quant/weights_as_floats.h"

namespace nibble {
namespace {

class GptqRun {
 public:
  GptqRun(const ModelWeights& weights, const QuantScheme& scheme, const GptqSettings& settings,
          FinishedLinears& finished, ThreadPool& pool)
      : weights_(weights), scheme_(scheme), settings_(settings), finished_(finished), pool_(pool) {}

  Result<std::vector<MatrixPtr>> quantize(std::span<const LinearId> linears, const InputGram& gram) const {
    const SecondOrder h = prepare_second_order(gram, {settings_.damping, settings_.order, gptq_group(scheme_)}, pool_);
    const LayerError layer_error(gram);
    std::vector<MatrixPtr> matrices;
    for (const LinearId id : linears) {
      const LinearInfo& info = weights_.layout().linears[static_cast<std::size_t>(id)];
      if (!h.note.empty()) log_warning("{}: {}", info.name, h.note);
      NIBBLE_TRY(const MatrixPtr matrix, quantize_one(id, info, h, layer_error));
      matrices.push_back(matrix);
    }
    return matrices;
  }

 private:
  Result<MatrixPtr> quantize_one(LinearId id, const LinearInfo& info, const SecondOrder& h,
                                 const LayerError& layer_error) const {
    const auto begin = std::chrono::steady_clock::now();
    NIBBLE_TRY(const MatrixPtr original, weights_.matrix(id));
    NIBBLE_TRY(std::vector<float> values, weights_as_floats(*original, pool_));
    GptqReport report;
    QuantizedMatrix matrix = quantize_gptq(values, info.rows, h, scheme_, settings_.options, pool_, report);
    if (report.non_finite > 0)
      log_warning("{}: {} NaN or infinite weights were taken as 0 or as the largest finite weight of their row",
                  info.name, report.non_finite);
    FinishedLinear linear;
    linear.error = layer_error.of(values, matrix, pool_);
    NIBBLE_TRY(const MatrixPtr nearest, quantize_rtn(original, scheme_, RtnOptions{}, pool_));
    QuantizedMatrix rounded;
    NIBBLE_TRY_STATUS(nearest->decode(0, info.rows, rounded));
    linear.rtn_error = layer_error.of(values, rounded, pool_);
    original->release(0, info.rows);
    linear.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return finished_.finish(id, std::move(matrix), std::move(linear));
  }

  const ModelWeights& weights_;
  const QuantScheme& scheme_;
  const GptqSettings& settings_;
  FinishedLinears& finished_;
  ThreadPool& pool_;
};

}  // namespace

Status gptq_matrices(const ModelWeights& weights, const CalibrationTokens& tokens, const QuantScheme& scheme,
                     const GptqSettings& settings, StreamOptions stream, FinishedLinears& finished, ThreadPool& pool) {
  NIBBLE_TRY_STATUS(check_gptq_scheme(scheme));
  const GptqRun run(weights, scheme, settings, finished, pool);
  const QuantizeLinears quantize = [&](std::span<const LinearId> linears, const InputGram& gram) {
    return run.quantize(linears, gram);
  };
  stream.known = [&](std::span<const LinearId> linears) { return finished.recorded(linears); };
  return stream_blocks(weights, tokens, quantize, stream, pool);
}

}  // namespace nibble
