#include "api/quantize_calibrated.h"

#include <array>
#include <chrono>
#include <filesystem>
#include <set>

#include "api/calibration.h"
#include "api/report.h"
#include "base/log.h"
#include "quant/auto_round/auto_round_matrices.h"
#include "quant/awq/awq_matrices.h"
#include "quant/calibration/memory_plan.h"
#include "quant/gptq/gptq_matrices.h"
#include "quant/wnam/wnam_matrices.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

GptqSettings gptq_settings(const QuantizeOptions& options) {
  GptqSettings out;
  out.damping = options.damping;
  return out;
}

Status check_gptq(const QuantScheme& scheme) { return check_gptq_scheme(scheme); }

std::uint64_t gptq_bytes(const ModelFiles& files, std::int64_t, const QuantizeOptions&) {
  return second_order_bytes(files.layout());
}

Result<CalibratedModel> run_gptq(const CalibratedRun& run, FinishedLinears& finished, ThreadPool& pool) {
  NIBBLE_TRY_STATUS(
      gptq_matrices(run.files, run.tokens, run.scheme, gptq_settings(run.options), run.stream, finished, pool));
  return CalibratedModel{};
}

/// GPTQ with refinements after the pass.
Result<CalibratedModel> run_best(const CalibratedRun& run, FinishedLinears& finished, ThreadPool& pool) {
  GptqSettings settings;
  settings.options = best_options();
  settings.damping = 0;  // as the number of tokens asks for
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
    CalibratedMethod{"best", check_gptq, gptq_bytes, run_best},
    CalibratedMethod{"awq", check_awq_scheme, gptq_bytes, run_awq},
    CalibratedMethod{"awq+gptq", check_awq_gptq_scheme, gptq_bytes, run_awq_gptq},
    CalibratedMethod{"autoround", check_auto_round_scheme, bytes_of_auto_round, run_auto_round},
    CalibratedMethod{"wnam", check_codebook_scheme, gptq_bytes, run_wnam},
};

/// Name, size and time of every file of a model: another one under the same name is another model.
Json identity(const fs::path& path) {
  Json files = Json::array();
  const auto add = [&](const fs::path& file) {
    std::error_code error;
    const auto time = fs::last_write_time(file, error).time_since_epoch().count();
    files.push_back({file.filename().string(), fs::file_size(file, error), time});
  };
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    add(path);
    return files;
  }
  std::vector<fs::path> found;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error))
    if (it->is_regular_file(error)) found.push_back(it->path());
  std::sort(found.begin(), found.end());
  for (const fs::path& file : found) add(file);
  return files;
}

/// All that decides the bytes of the output.
Json run_description(const CalibratedOutput& what) {
  const QuantizeOptions& o = what.options;
  const CalibrationOptions& c = o.calibration;
  std::error_code error;
  Json texts = Json::array();
  for (const std::string& text : c.texts) texts.push_back(fs::absolute(text, error).string());
  return {{"nibble", NIBBLE_VERSION},
          {"model", fs::absolute(what.path, error).string()},
          {"model_files", identity(what.path)},
          {"method", o.method},
          {"scheme", to_string(what.scheme)},
          {"to", o.to},
          {"quantize_head", o.quantize_head},
          {"shard_bytes", o.shard_bytes},
          {"damping", o.damping},
          {"iterations", o.iterations},
          {"calibration", texts},
          {"samples", c.samples},
          {"context", c.context},
          {"chat_template", c.chat_template},
          {"per_document", c.per_document},
          {"seed", c.seed}};
}

/// Before hours of work: can the output hold what they make? Of every shape one matrix is tried, rounded to nearest.
Status check_output(const CalibratedOutput& what, ThreadPool& pool) {
  if (what.format.family == nullptr)
    return fail(ErrorCode::kInvalidArgument, "--to {} holds no quantized matrices; name another family",
                what.options.to);
  std::set<std::pair<std::int64_t, std::int64_t>> tried;
  for (std::size_t i = 0; i < what.files.layout().linears.size(); ++i) {
    const LinearInfo& info = what.files.layout().linears[i];
    if (info.role != LinearInfo::Role::kBlock || !tried.emplace(info.rows, info.cols).second) continue;
    if (!check_rtn_scheme(what.scheme).ok()) {  // a type of GGUF, stored as it is
      const Status fits = what.format.family->can_express(what.scheme, info.rows, info.cols);
      if (!fits.ok()) return with_context(fits.error(), info.name);
      continue;
    }
    NIBBLE_TRY(MatrixPtr original, what.files.matrix(static_cast<LinearId>(i)));
    NIBBLE_TRY(const MatrixPtr rounded, quantize_rtn(original, what.scheme, {}, pool));
    NIBBLE_TRY_STATUS(stored_exactly(rounded, info, what.format));
    original->release(0, info.rows);
  }
  return {};
}

constexpr const char* kTokens = "tokens.json";

/// The tokens that the run began with.
Result<CalibrationTokens> recorded_tokens(const CalibratedOutput& what, Journal& journal) {
  if (const std::optional<std::string> text = journal.find_text(kTokens)) {
    NIBBLE_TRY(const Json json, parse_untrusted(*text, kTokens));
    CalibrationTokens tokens;
    tokens.window = json.at("window").get<std::int64_t>();
    tokens.ids = json.at("ids").get<std::vector<std::int32_t>>();
    return tokens;
  }
  NIBBLE_TRY(CalibrationTokens tokens, calibration_tokens(what.path, what.files, what.options.calibration,
                                                          what.options.threads, what.options.progress));
  NIBBLE_TRY_STATUS(journal.put_text(kTokens, Json{{"window", tokens.window}, {"ids", tokens.ids}}.dump()));
  return tokens;
}

void add_errors(const ModelLayout& layout, const FinishedLinears& finished, ConversionReport& report) {
  for (const auto& [id, linear] : finished.all())
    for (TensorReport& tensor : report.tensors) {
      if (tensor.name != layout.linears[static_cast<std::size_t>(id)].name) continue;
      tensor.output_error = linear.error;
      tensor.rtn_output_error = linear.rtn_error;
      tensor.seconds = linear.seconds;
    }
}

}  // namespace

Result<const CalibratedMethod*> find_calibrated_method(const std::string& name) {
  std::string known = "rtn, hqq";
  for (const CalibratedMethod& method : kMethods) {
    if (method.name == name) return &method;
    known += ", " + std::string(method.name);
  }
  return fail(ErrorCode::kInvalidArgument, "\"{}\": unknown method; known: {}", name, known);
}

Result<ConversionReport> quantize_calibrated(const CalibratedMethod& method, const CalibratedOutput& what,
                                             ThreadPool& pool) {
  const auto begin = std::chrono::steady_clock::now();
  NIBBLE_TRY_STATUS(method.check_scheme(what.scheme));
  if (what.options.quantize_head) NIBBLE_TRY_STATUS(check_rtn_scheme(what.scheme));
  NIBBLE_TRY_STATUS(check_output(what, pool));
  std::error_code error;
  if (what.options.resume && fs::exists(what.out, error) && !fs::exists(Journal::folder_of(what.out), error)) {
    ConversionReport report;
    report.was_whole = true;
    return report;
  }
  NIBBLE_TRY(const std::int64_t window, calibration_window(what.files, what.options.calibration));
  const MemoryNeeds needs{what.options.max_memory, window, method.bytes(what.files, window, what.options)};
  NIBBLE_TRY(const ActivationStore::Options store, plan_memory(what.files, needs, what.out));
  NIBBLE_TRY(const Journal::Ptr journal, Journal::open(what.out, run_description(what), what.options.resume));
  NIBBLE_TRY(const CalibrationTokens tokens, recorded_tokens(what, *journal));
  FinishedLinears finished(what.files.layout(), journal);
  NIBBLE_TRY(
      const CalibratedModel model,
      method.run({what.files, tokens, what.scheme, what.options, {{}, store, what.options.progress}}, finished, pool));
  const MatrixMethod as_finished = [&](LinearId id, MatrixPtr original) -> Result<MatrixPtr> {
    if (const auto found = finished.all().find(id); found != finished.all().end()) return found->second.matrix;
    return quantize_rtn(std::move(original), what.scheme, RtnOptions{{RangeRule::Kind::kMse, 100.0}}, pool);
  };
  NIBBLE_TRY(std::vector<MatrixTarget> targets,
             method_targets(what.files, what.scheme, as_finished, what.options.quantize_head, what.format));
  OutputOptions output = what.output;
  if (model.folded != nullptr) {
    output.changes = model.folded->changes();
    for (MatrixTarget& target : targets) {
      NIBBLE_TRY(target.reference, model.folded->matrix(target.id));
    }
  }
  NIBBLE_TRY(ConversionReport report, write_model(what.files, targets, what.out, what.format, output, pool));
  journal->remove();
  add_errors(what.files.layout(), finished, report);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const Status reported = add_report({what.path, what.files, what.out, what.options, store},
                                     what.options.report.value_or(ReportLevel::kQuick), report, pool);
  if (!reported.ok()) log_warning("{} is whole, but there is no report: {}", what.out, reported.error().message);
  return report;
}

}  // namespace nibble
