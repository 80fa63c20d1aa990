#include "api/calibrated_methods.h"

#include <array>

#include "quant/auto_round/auto_round_matrices.h"
#include "quant/awq/awq_matrices.h"
#include "quant/calibration/memory_plan.h"
#include "quant/gptq/gptq_matrices.h"
#include "quant/wnam/wnam_matrices.h"

namespace nibble {
namespace {

GptqSettings gptq_settings(const QuantizeOptions& options) {
  GptqSettings out;
  out.damping = options.damping;
  return out;
}

Status check_gptq(const QuantScheme& scheme) { return check_gptq_scheme(scheme); }

std::uint64_t gptq_bytes(const ModelFiles& files, std::int64_t, const QuantizeOptions&) {
  return second_order_bytes(files.layout());
}

std::uint64_t best_bytes(const ModelFiles& files, std::int64_t window, const QuantizeOptions&) {
  return second_order_bytes(files.layout()) + second_stream_bytes(files, window);
}

Result<CalibratedModel> run_gptq(const CalibratedRun& run, FinishedLinears& finished, ThreadPool& pool) {
  NIBBLE_TRY_STATUS(
      gptq_matrices(run.files, run.tokens, run.scheme, gptq_settings(run.options), run.stream, finished, pool));
  return CalibratedModel{};
}

/// As much as GPTAQ's own code shifts by default.
constexpr float kTargetShift = 0.25f;

/// GPTQ with refinements after the pass.
Result<CalibratedModel> run_best(const CalibratedRun& run, FinishedLinears& finished, ThreadPool& pool) {
  GptqSettings settings;
  settings.options = best_options();
  settings.target_shift = kTargetShift;
  settings.damping = run.options.damping;
  NIBBLE_TRY_STATUS(gptq_matrices(run.files, run.tokens, run.scheme, settings, run.stream, finished, pool));
  return CalibratedModel{};
}

Result<CalibratedModel> run_awq(const CalibratedRun& run, FinishedLinears& finished, ThreadPool& pool) {
  NIBBLE_TRY(AwqModel model, awq_matrices(run.files, run.tokens, run.scheme, {}, run.stream, finished, pool));
  return CalibratedModel{std::move(model.folded)};
}

/// AWQ's scales, then GPTQ on the scaled model.
Result<CalibratedModel> run_awq_gptq(const CalibratedRun& run, FinishedLinears& finished, ThreadPool& pool) {
  NIBBLE_TRY(AwqModel model, awq_scaled_model(run.files, run.tokens, run.scheme, run.stream, finished.journal(), pool));
  NIBBLE_TRY_STATUS(
      gptq_matrices(*model.folded, run.tokens, run.scheme, gptq_settings(run.options), run.stream, finished, pool));
  return CalibratedModel{std::move(model.folded)};
}

Status check_awq_gptq_scheme(const QuantScheme& scheme) {
  NIBBLE_TRY_STATUS(check_awq_scheme(scheme));
  return check_gptq_scheme(scheme);
}

AutoRoundOptions auto_round_options(const QuantizeOptions& options) {
  AutoRoundOptions out;
  out.iterations = options.iterations;
  out.seed = options.calibration.seed;
  return out;
}

Result<CalibratedModel> run_auto_round(const CalibratedRun& run, FinishedLinears& finished, ThreadPool& pool) {
  NIBBLE_TRY([[maybe_unused]] const std::vector<AutoRoundBlock> blocks,
             auto_round_matrices(run.files, run.tokens, run.scheme, auto_round_options(run.options), run.stream,
                                 finished, pool));
  return CalibratedModel{};
}

std::uint64_t bytes_of_auto_round(const ModelFiles& files, std::int64_t window, const QuantizeOptions& options) {
  return options.iterations == 0 ? second_order_bytes(files.layout())
                                 : auto_round_bytes(files, window, auto_round_options(options));
}

Result<CalibratedModel> run_wnam(const CalibratedRun& run, FinishedLinears& finished, ThreadPool& pool) {
  NIBBLE_TRY_STATUS(wnam_matrices(run.files, run.tokens, run.scheme, {}, run.stream, finished, pool));
  return CalibratedModel{};
}

constexpr std::array kMethods = {
    CalibratedMethod{"gptq", check_gptq, gptq_bytes, run_gptq},
    CalibratedMethod{"best", check_gptq, best_bytes, run_best},
    CalibratedMethod{"awq", check_awq_scheme, gptq_bytes, run_awq},
    CalibratedMethod{"awq+gptq", check_awq_gptq_scheme, gptq_bytes, run_awq_gptq},
    CalibratedMethod{"autoround", check_auto_round_scheme, bytes_of_auto_round, run_auto_round},
    CalibratedMethod{"wnam", check_codebook_scheme, gptq_bytes, run_wnam},
};

}  // namespace

Result<const CalibratedMethod*> find_calibrated_method(const std::string& name) {
  std::string known = "rtn, hqq";
  for (const CalibratedMethod& method : kMethods) {
    if (method.name == name) return &method;
    known += ", " + std::string(method.name);
  }
  return fail(ErrorCode::kInvalidArgument, "\"{}\": unknown method; known: {}", name, known);
}

}  // namespace nibble
