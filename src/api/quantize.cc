// nibble/quantize.h
#include "nibble/quantize.h"

#include <filesystem>

#include "api/bit_choice.h"
#include "api/boundary.h"
#include "api/heartbeat.h"
#include "api/model_path.h"
#include "api/quantize_calibrated.h"
#include "api/report.h"
#include "api/source_files.h"
#include "quant/bits/bit_candidates.h"
#include "quant/choose_targets.h"
#include "quant/ggml/ggml_targets.h"
#include "quant/gptq/act_order.h"
#include "quant/hqq/hqq.h"
#include "quant/scheme_overrides.h"

namespace nibble {
namespace {

/// What llama-quantize writes about the importance matrix.
std::vector<std::pair<std::string, GgufValue>> imatrix_metadata(const Imatrix& imatrix, const std::string& file) {
  constexpr std::size_t kLongest = 127;  // llama.cpp's own limit
  std::vector<std::pair<std::string, GgufValue>> out;
  const auto text = [&](const char* key, const std::string& value) {
    out.emplace_back(key, GgufValue{GgufType::kString, value.substr(0, kLongest)});
  };
  const auto number = [&](const char* key, std::uint64_t value) {
    out.emplace_back(key, GgufValue{GgufType::kU32, value});
  };
  text("quantize.imatrix.file", file);
  if (!imatrix.datasets.empty()) text("quantize.imatrix.dataset", imatrix.datasets.front());
  number("quantize.imatrix.entries_count", imatrix.entries.size());
  if (imatrix.chunks > 0) number("quantize.imatrix.chunks_count", imatrix.chunks);
  return out;
}

/// llama.cpp's named mixtures.
Result<ConversionReport> quantize_by_recipe(const ModelFiles& files, const std::string& out,
                                            const QuantizeOptions& options, std::span<const SchemeOverride> overrides,
                                            OutputOptions output, ThreadPool& pool) {
  NIBBLE_TRY(const OutputFormat format, choose_output_format("gguf", out, nullptr));
  NIBBLE_TRY(const GgufRecipe* recipe, find_gguf_recipe(options.scheme));
  std::optional<Imatrix> imatrix;
  if (!options.imatrix.empty()) {
    NIBBLE_TRY(imatrix, read_imatrix(options.imatrix));
    output.gguf_metadata = imatrix_metadata(*imatrix, options.imatrix);
  }
  output.gguf_file_type = recipe->file_type;
  NIBBLE_TRY(const auto given, overridden(files, overrides));
  NIBBLE_TRY(const std::vector<MatrixTarget> targets,
             recipe_targets(files, *recipe, imatrix ? &*imatrix : nullptr, given));
  return write_model(files, targets, out, format, output, pool);
}

/// With real zero points, which hqq is made for, where the format can hold them.
QuantScheme hqq_scheme(const QuantScheme& scheme, const OutputFormat& format) {
  QuantScheme real = with_real_zeros(scheme);
  const bool holds = format.family != nullptr && format.family->expresses(real, 4096, 4096).ok();
  return holds ? real : scheme;
}

Result<std::vector<MatrixTarget>> hqq_targets(const ModelFiles& files, const LinearSchemes& schemes, bool quantize_head,
                                              const OutputFormat& format) {
  const MatrixMethod method = [&](LinearId id, MatrixPtr original) -> Result<MatrixPtr> {
    NIBBLE_TRY_STATUS(check_hqq_scheme(schemes.of(id)));
    return quantize_hqq(std::move(original), hqq_scheme(schemes.of(id), format), HqqOptions{});
  };
  return method_targets(files, schemes, method, quantize_head, format);
}

/// As choose_output_format() of one scheme; where no family is named, nibble if that one does not hold all.
Result<OutputFormat> format_for_overrides(const std::string& to, const std::string& out, const QuantScheme& scheme,
                                          std::span<const SchemeOverride> overrides) {
  NIBBLE_TRY(OutputFormat format, choose_output_format(to, out, &scheme));
  if (overrides.empty() || !to.empty() || format.gguf) return format;
  for (const SchemeOverride& one : overrides)
    if (!one.scheme.is_float() &&
        !(format.family->mixes_schemes && format.family->expresses(one.scheme, 4096, 4096).ok()))
      return choose_output_format("nibble", out, nullptr);
  return format;
}

/// The family that is named, else GGUF or the first of compressed-tensors and nibble that holds all the candidates.
Result<OutputFormat> format_for_candidates(const QuantizeOptions& options, const std::string& out,
                                           const SchemeCheck& method) {
  if (!options.to.empty() || out.ends_with(".gguf")) return choose_output_format(options.to, out, nullptr);
  for (const char* name : {"compressed-tensors", "nibble"}) {
    NIBBLE_TRY(OutputFormat format, choose_output_format(name, out, nullptr));
    if (bit_candidates(options.candidates, *format.family, method).ok()) return format;
  }
  return choose_output_format("nibble", out, nullptr);
}

Result<ConversionReport> quantize_in_budget(const CalibratedMethod& method, const std::string& path,
                                            const ModelFiles& files, const std::string& out,
                                            const QuantizeOptions& options, const OutputOptions& output,
                                            ThreadPool& pool) {
  NIBBLE_TRY(const OutputFormat format, format_for_candidates(options, out, method.check_scheme));
  if (format.family == nullptr || format.ggml_type >= 0)
    return fail(ErrorCode::kInvalidArgument, "--to {} leaves no bits to choose; name a family", options.to);
  NIBBLE_TRY(const std::vector<QuantScheme> candidates,
             bit_candidates(options.candidates, *format.family, method.check_scheme));
  return quantize_calibrated(method, {path, files, out, options, std::nullopt, candidates, true, format, output}, pool);
}

/// llama.cpp's mixtures by a method of our own.
Result<ConversionReport> quantize_mixture(const CalibratedMethod& method, const std::string& path,
                                          const ModelFiles& files, const std::string& out,
                                          const QuantizeOptions& options, std::span<const SchemeOverride> overrides,
                                          OutputOptions output, ThreadPool& pool) {
  NIBBLE_TRY(const GgufRecipe* recipe, find_gguf_recipe(options.scheme));
  NIBBLE_TRY(const OutputFormat format, choose_output_format("gguf", out, nullptr));
  NIBBLE_TRY(LinearSchemes schemes, recipe_schemes(files, *recipe, true));
  NIBBLE_TRY(schemes, with_overrides(files, schemes, true, overrides, format));
  output.gguf_file_type = recipe->file_type;
  return quantize_calibrated(method, {path, files, out, options, schemes, {}, true, format, output}, pool);
}

}  // namespace

Result<ConversionReport> quantize(const std::string& model, const std::string& out, const QuantizeOptions& given) {
  return at_boundary([&]() -> Result<ConversionReport> {
    QuantizeOptions options = given;
    const Heartbeat heartbeat(options.progress);
    const bool hqq = options.method == "hqq";
    NIBBLE_TRY_STATUS(check_bit_budget(options));
    const bool in_budget = has_bit_budget(options);
    NIBBLE_TRY(const CalibratedMethod* method, find_calibrated_method(options.method));
    const bool calibrated = in_budget || method->run != nullptr;
    const bool gguf = options.to == "gguf" || (options.to.empty() && out.ends_with(".gguf"));
    // For other methods q4_0 and its like are types that every block linear gets, and mixtures unknown schemes.
    const bool by_recipe = gguf && names_gguf_recipe(options.scheme) && options.method == "rtn";
    const bool by_gptq =
        options.method == "gptq" || (options.method == "best" && options.act_order != ActOrder::kStatic);
    if (options.act_order != ActOrder::kGroups && (in_budget || !by_gptq))
      return fail(ErrorCode::kInvalidArgument,
                  "--act-order goes with one --scheme and --method gptq, or best unless it is static");
    if (options.importance != ImportanceSource::kActivations && options.method != "wnam")
      return fail(ErrorCode::kInvalidArgument, "--importance gradients goes with --method wnam");
    if (in_budget && !options.overrides.empty())
      return fail(ErrorCode::kInvalidArgument,
                  "a budget chooses the schemes; --override goes with --scheme, --candidates with a budget");
    NIBBLE_TRY(const std::vector<SchemeOverride> overrides, parse_overrides(options.overrides));
    if (!options.imatrix.empty() && !by_recipe)
      return fail(ErrorCode::kInvalidArgument,
                  "--imatrix is for llama.cpp's schemes (q4_k_m ...) in GGUF files, not for {}", options.scheme);
    if (!options.statistics.empty()) NIBBLE_TRY_STATUS(check_saved_statistics(*method, options));
    NIBBLE_TRY(const std::string path, model_path(model));
    NIBBLE_TRY(const ModelFiles::Ptr files, ModelFiles::open(path));
    NIBBLE_TRY_STATUS(refuse_replacing(*files, options.calibration.texts, out));
    if (options.bias_correction) NIBBLE_TRY_STATUS(check_bias_correction(*method, *files));
    ThreadPool pool(options.threads);
    OutputOptions output;
    output.what = "quantizing";
    output.shard_bytes = options.shard_bytes;
    output.progress = options.progress;
    output.float_type = ElementType::kBf16;
    const auto reported = [&](Result<ConversionReport> report) {
      if (!report.ok()) return report;
      const Status status =
          add_report({path, *files, out, options, {}}, options.report.value_or(ReportLevel::kOff), *report, pool);
      return status.ok() ? std::move(report) : Result<ConversionReport>(status.error());
    };
    if (by_recipe) return reported(quantize_by_recipe(*files, out, options, overrides, std::move(output), pool));
    if (!in_budget && options.method != "rtn" && names_gguf_recipe(options.scheme) &&
        !parse_scheme(options.scheme).ok()) {
      if (!gguf || !calibrated)
        return fail(ErrorCode::kUnsupported,
                    "{} is one of llama.cpp's mixtures: for GGUF files, by --method rtn, gptq or best", options.scheme);
      return quantize_mixture(*method, path, *files, out, options, overrides, std::move(output), pool);
    }
    if (in_budget) return quantize_in_budget(*method, path, *files, out, options, output, pool);
    NIBBLE_TRY(QuantScheme scheme, parse_scheme(options.scheme));
    if (hqq) {
      NIBBLE_TRY_STATUS(check_hqq_scheme(scheme));
      const QuantScheme real = with_real_zeros(scheme);  // where a family for it is found
      const Result<OutputFormat> format = choose_output_format(options.to, out, &real);
      if (format.ok()) scheme = hqq_scheme(scheme, *format);
    }
    NIBBLE_TRY(const RangeRule range, parse_range(options.range));
    QuantScheme stored = scheme;
    if (options.act_order != ActOrder::kGroups) NIBBLE_TRY_STATUS(check_act_order(scheme));
    if (options.act_order == ActOrder::kFull) stored = with_group_index(scheme, 4096);
    NIBBLE_TRY(const OutputFormat format, format_for_overrides(options.to, out, stored, overrides));
    LinearSchemes schemes = scheme;
    if (calibrated)
      schemes = gguf ? with_fallbacks(files->layout(), scheme) : plain_outside_blocks(files->layout(), scheme);
    bool with_head = options.quantize_head;
    if (!overrides.empty()) {
      NIBBLE_TRY(schemes, with_overrides(*files, schemes, with_head, overrides, format));
      with_head = true;  // of embedding and head, too, it is said what they become
    }
    if (calibrated)
      return quantize_calibrated(*method, {path, *files, out, options, schemes, {}, with_head, format, output}, pool);
    NIBBLE_TRY(const std::vector<MatrixTarget> targets,
               hqq ? hqq_targets(*files, schemes, with_head, format)
                   : rtn_targets(*files, schemes, RtnOptions{range}, with_head, format, pool));
    return reported(write_model(*files, targets, out, format, output, pool));
  });
}

Result<ConversionReport> convert(const std::string& model, const std::string& out, const ConvertOptions& given) {
  return at_boundary([&]() -> Result<ConversionReport> {
    ConvertOptions options = given;
    const Heartbeat heartbeat(options.progress);
    NIBBLE_TRY(const OutputFormat format, choose_output_format(options.to, out, nullptr));
    NIBBLE_TRY(const std::string path, model_path(model));
    NIBBLE_TRY(const ModelFiles::Ptr files, ModelFiles::open(path));
    NIBBLE_TRY_STATUS(refuse_replacing(*files, {}, out));
    ThreadPool pool(options.threads);
    NIBBLE_TRY(const std::vector<MatrixTarget> targets, conversion_targets(*files, format, options.lossy, pool));
    OutputOptions output;
    output.what = "converting";
    output.shard_bytes = options.shard_bytes;
    output.progress = options.progress;
    output.convert_plain = format.float_type.has_value() && !format.gguf;
    output.float_type = format.float_type.value_or(ElementType::kBf16);
    return write_model(*files, targets, out, format, output, pool);
  });
}

}  // namespace nibble
