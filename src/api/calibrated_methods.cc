#include "api/calibrated_methods.h"

#include <algorithm>
#include <array>
#include <utility>

#include "api/bit_choice.h"
#include "base/log.h"
#include "quant/auto_round/auto_round_matrices.h"
#include "quant/awq/awq_matrices.h"
#include "quant/calibration/memory_plan.h"
#include "quant/gptq/gptq_matrices.h"
#include "quant/hqq/hqq.h"
#include "quant/statistics/saved_statistics.h"
#include "quant/supplement/fit_supplement.h"
#include "quant/wnam/wnam_by_gradients.h"

namespace nibble {
namespace {

GptqSettings gptq_settings(const QuantizeOptions& options) {
  GptqSettings out;
  out.damping = options.damping;
  out.act_order = options.act_order == ActOrder::kFull;
  out.bias_correction = options.bias_correction;
  out.static_groups = options.act_order == ActOrder::kStatic;
  return out;
}

Status check_gptq(const QuantScheme& scheme) { return check_gptq_scheme(scheme); }

std::uint64_t gptq_bytes(const ModelFiles& files, std::int64_t, const QuantizeOptions&) {
  return second_order_bytes(files.layout());
}

std::uint64_t best_bytes(const ModelFiles& files, std::int64_t window, const QuantizeOptions& options) {
  const std::uint64_t bytes = gptq_bytes(files, window, options);
  return options.statistics.empty() ? bytes + second_stream_bytes(files, window) : bytes;
}

Result<CalibratedModel> run_gptq(const CalibratedRun& run, FinishedLinears& finished, ThreadPool& pool) {
  NIBBLE_TRY_STATUS(
      gptq_matrices(run.files, run.tokens, run.schemes, gptq_settings(run.options), run.stream, finished, pool));
  return CalibratedModel{};
}

/// docs/methods.md has what others are worth.
constexpr float kTargetShift = 0.5f;

/// GPTQ with refinements after the pass.
Result<CalibratedModel> run_best(const CalibratedRun& run, FinishedLinears& finished, ThreadPool& pool) {
  GptqSettings settings = gptq_settings(run.options);
  settings.options = best_options();
  if (run.stream.saved)
    log_info(
        "best: the shift towards the original's outputs is left out, since saved statistics know of no quantized "
        "inputs");
  else
    settings.target_shift = kTargetShift;
  NIBBLE_TRY_STATUS(gptq_matrices(run.files, run.tokens, run.schemes, settings, run.stream, finished, pool));
  return CalibratedModel{};
}

Result<CalibratedModel> run_awq(const CalibratedRun& run, FinishedLinears& finished, ThreadPool& pool) {
  AwqSettings settings;
  settings.bias_correction = run.options.bias_correction;
  NIBBLE_TRY(AwqModel model, awq_matrices(run.files, run.tokens, run.schemes, settings, run.stream, finished, pool));
  return CalibratedModel{std::move(model.folded)};
}

/// AWQ's scales, then GPTQ on the scaled model.
Result<CalibratedModel> run_awq_gptq(const CalibratedRun& run, FinishedLinears& finished, ThreadPool& pool) {
  NIBBLE_TRY(AwqModel model,
             awq_scaled_model(run.files, run.tokens, run.schemes, run.stream, finished.journal(), pool));
  StreamOptions stream = run.stream;
  if (run.stream.saved)
    stream.saved = [&](std::span<const LinearId> linears) -> Result<InputGram> {
      NIBBLE_TRY(InputGram gram, run.stream.saved(linears));
      return with_columns_divided(std::move(gram), model.folded->column_factors(linears.front()));
    };
  NIBBLE_TRY_STATUS(
      gptq_matrices(*model.folded, run.tokens, run.schemes, gptq_settings(run.options), stream, finished, pool));
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
             auto_round_matrices(run.files, run.tokens, run.schemes, auto_round_options(run.options), run.stream,
                                 finished, pool));
  return CalibratedModel{};
}

std::uint64_t bytes_of_auto_round(const ModelFiles& files, std::int64_t window, const QuantizeOptions& options) {
  return options.iterations == 0 ? second_order_bytes(files.layout())
                                 : auto_round_bytes(files, window, auto_round_options(options));
}

std::uint64_t wnam_bytes(const ModelFiles& files, std::int64_t window, const QuantizeOptions& options) {
  if (options.importance != ImportanceSource::kGradients) return gptq_bytes(files, window, options);
  return wnam_gradient_bytes(files, window);
}

Result<CalibratedModel> run_wnam(const CalibratedRun& run, FinishedLinears& finished, ThreadPool& pool) {
  WnamSettings settings;
  settings.bias_correction = run.options.bias_correction;
  if (run.options.importance == ImportanceSource::kGradients) {
    NIBBLE_TRY_STATUS(wnam_matrices_by_gradients(run.files, run.tokens, run.schemes, settings,
                                                 run.options.calibration.seed, run.stream, finished, pool));
    return CalibratedModel{};
  }
  NIBBLE_TRY_STATUS(wnam_matrices(run.files, run.tokens, run.schemes, settings, run.stream, finished, pool));
  return CalibratedModel{};
}

Status check_rtn(const QuantScheme&) { return {}; }  // what rounds nothing else is refused as no candidate

std::uint64_t no_bytes(const ModelFiles&, std::int64_t, const QuantizeOptions&) { return 0; }

Result<MatrixPtr> quantize_by_hqq(MatrixPtr original, const QuantScheme& scheme, ThreadPool&) {
  return quantize_hqq(std::move(original), scheme, HqqOptions{});
}

constexpr std::array kMethods = {
    CalibratedMethod{"rtn", check_rtn, no_bytes, nullptr, 1.0},
    CalibratedMethod{"hqq", check_hqq_scheme, no_bytes, nullptr, 0.9, quantize_by_hqq},
    CalibratedMethod{"gptq", check_gptq, gptq_bytes, run_gptq, 0.36, round_plainly, true, true},
    CalibratedMethod{"best", check_gptq, best_bytes, run_best, 0.33, round_plainly, true, true},
    CalibratedMethod{"awq", check_awq_scheme, gptq_bytes, run_awq, 0.42, round_plainly, true},
    CalibratedMethod{"awq+gptq", check_awq_gptq_scheme, gptq_bytes, run_awq_gptq, 0.33, round_plainly, true},
    CalibratedMethod{"autoround", check_auto_round_scheme, bytes_of_auto_round, run_auto_round, 0.5},
    CalibratedMethod{"wnam", check_codebook_scheme, wnam_bytes, run_wnam, 0.33, round_plainly, true},
};

}  // namespace

std::uint64_t beside_codes_bytes(const ModelLayout& layout, const LinearSchemes& schemes) {
  std::uint64_t largest = 0;
  for (std::size_t i = 0; i < layout.linears.size(); ++i) {
    const LinearInfo& info = layout.linears[i];
    if (info.role == LinearInfo::Role::kBlock && !schemes.of(static_cast<LinearId>(i)).supplement.empty())
      largest = std::max(largest, supplement_bytes(info.rows, info.cols));
  }
  return largest;
}

Status check_bias_correction(const CalibratedMethod& method, const ModelFiles& files) {
  if (!method.corrects_biases) {
    std::string known;
    for (const CalibratedMethod& other : kMethods)
      if (other.corrects_biases) known += (known.empty() ? "" : ", ") + std::string(other.name);
    return fail(ErrorCode::kInvalidArgument, "--bias-correction goes with --method {}", known);
  }
  const std::vector<LinearInfo>& linears = files.layout().linears;
  const auto corrected = [](const LinearInfo& info) { return info.bias && info.role == LinearInfo::Role::kBlock; };
  if (std::any_of(linears.begin(), linears.end(), corrected)) return {};
  return fail(ErrorCode::kInvalidArgument,
              "{}: none of its linears has a bias that could be corrected; leave out --bias-correction", files.path());
}

Status check_saved_statistics(const CalibratedMethod& method, const QuantizeOptions& options) {
  if (!options.calibration.texts.empty())
    return fail(ErrorCode::kInvalidArgument,
                "--statistics holds what --calibration would be looked at for; give one of them");
  if (has_bit_budget(options))
    return fail(ErrorCode::kInvalidArgument,
                "bits within a budget are chosen by running the model; give --calibration in place of --statistics");
  if (method.run == nullptr)
    return fail(ErrorCode::kInvalidArgument, "--method {} looks at no inputs; --statistics has nothing to say to it",
                method.name);
  if (options.importance == ImportanceSource::kGradients)
    return fail(ErrorCode::kInvalidArgument,
                "gradients come from running the model; give --calibration in place of --statistics, or --importance "
                "activations");
  if (method.run == run_auto_round && options.iterations > 0)
    return fail(
        ErrorCode::kInvalidArgument,
        "autoround tunes on the activations themselves; give --calibration in place of --statistics, or --iters 0");
  return {};
}

Result<const CalibratedMethod*> find_calibrated_method(const std::string& name) {
  std::string known;
  for (const CalibratedMethod& method : kMethods) {
    if (method.name == name) return &method;
    known += (known.empty() ? "" : ", ") + std::string(method.name);
  }
  return fail(ErrorCode::kInvalidArgument, "\"{}\": unknown method; known: {}", name, known);
}

}  // namespace nibble
