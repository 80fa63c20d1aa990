#include "api/quantize_calibrated.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>
#include <tuple>

#include "api/bit_choice.h"
#include "api/calibration.h"
#include "api/report.h"
#include "api/source_files.h"
#include "api/statistics_input.h"
#include "base/check.h"
#include "base/log.h"
#include "quant/bits/bit_search.h"
#include "quant/calibration/memory_plan.h"
#include "quant/gptq/act_order.h"
#include "quant/plain_rounding.h"
#include "quant/scheme_overrides.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

/// Name, size and time of every file that a model is read from: another one under the same name is another model. What
/// else lies beside them, outputs among it, may come and go.
Json identity(const ModelFiles& model) {
  Json files = Json::array();
  for (const fs::path& file : source_files(model)) {
    std::error_code error;
    const auto time = fs::last_write_time(file, error).time_since_epoch().count();
    files.push_back({file.filename().string(), fs::file_size(file, error), time});
  }
  return files;
}

/// All that decides the bytes of the output.
Json run_description(const CalibratedOutput& what, const StatisticsInput& statistics) {
  const QuantizeOptions& o = what.options;
  const CalibrationOptions& c = o.calibration;
  std::error_code error;
  const Result<QuantScheme> one_scheme = parse_scheme(o.scheme);
  Json texts = Json::array();
  Json candidates = Json::array();
  for (const QuantScheme& scheme : what.candidates) candidates.push_back(to_string(scheme));
  for (const std::string& text : c.texts) texts.push_back(fs::absolute(text, error).string());
  return {{"nibble", NIBBLE_VERSION},
          {"model", fs::absolute(what.path, error).string()},
          {"model_files", identity(what.files)},
          {"method", o.method},
          {"scheme", one_scheme.ok() ? to_string(*one_scheme) : wanted_bits(o)},
          {"overrides", o.overrides},
          {"candidates", candidates},
          {"to", o.to},
          {"quantize_head", o.quantize_head},
          {"shard_bytes", o.shard_bytes},
          {"damping", o.damping},
          {"act_order", static_cast<int>(o.act_order)},
          {"iterations", o.iterations},
          {"bias_correction", o.bias_correction},
          {"importance", static_cast<int>(o.importance)},
          {"statistics", statistics.sha256},
          {"calibration", texts},
          {"samples", c.samples},
          {"context", c.context},
          {"chat_template", c.chat_template},
          {"per_document", c.per_document},
          {"seed", c.seed}};
}

/// Before hours of work: can the method make the schemes, and the output hold them? Of every shape and scheme one
/// matrix is tried, rounded to nearest.
Status check_output(const CalibratedMethod& method, const CalibratedOutput& what, const LinearSchemes& schemes,
                    ThreadPool& pool) {
  if (what.format.family == nullptr)
    return fail(ErrorCode::kInvalidArgument, "--to {} holds no quantized matrices; name another family",
                what.options.to);
  const bool mixture = schemes.distinct().size() > 1;
  std::set<std::tuple<std::int64_t, std::int64_t, std::string>> tried;
  for (std::size_t i = 0; i < what.files.layout().linears.size(); ++i) {
    const LinearInfo& info = what.files.layout().linears[i];
    const QuantScheme& scheme = schemes.of(static_cast<LinearId>(i));
    if (scheme.is_float() && mixture) continue;  // left in floats
    const bool block = info.role == LinearInfo::Role::kBlock;
    if (!block && !what.with_head) continue;
    NIBBLE_TRY(MatrixPtr original, what.files.matrix(static_cast<LinearId>(i)));
    if (!block && scheme == original->scheme()) continue;
    if (!tried.emplace(info.rows, info.cols, to_string(scheme)).second) continue;
    const Status possible = block ? method.check_scheme(scheme) : check_plain_rounding(scheme, info.cols);
    if (!possible.ok()) return with_context(possible.error(), info.name);
    if (what.options.act_order != ActOrder::kGroups && block) {
      const Status ordered = check_act_order(scheme);
      if (!ordered.ok()) return with_context(ordered.error(), info.name);
    }
    if (what.options.act_order == ActOrder::kFull && block) {
      const Status fits = what.format.family->expresses(with_group_index(scheme, info.cols), info.rows, info.cols);
      if (!fits.ok()) return with_context(fits.error(), info.name);
    }
    if (!check_rtn_scheme(scheme).ok()) {  // a type of GGUF, stored as it is
      const Status fits = what.format.family->expresses(scheme, info.rows, info.cols);
      if (!fits.ok()) return with_context(fits.error(), info.name);
      continue;
    }
    NIBBLE_TRY(const MatrixPtr rounded, quantize_rtn(original, scheme, {}, pool));
    NIBBLE_TRY_STATUS(stored_exactly(rounded, info, what.format));
    original->release(0, info.rows);
  }
  return method.by_linear ? Status() : check_shared_inputs(what.files.layout(), schemes);
}

constexpr const char* kTokens = "tokens.json";

std::optional<CalibrationTokens> tokens_of(const std::string& text, std::int64_t window, std::int64_t vocab) {
  const Result<Json> json = parse_untrusted(text, kTokens);
  if (!json.ok() || !json->is_array() || json->empty() || json->size() % static_cast<std::size_t>(window) != 0)
    return std::nullopt;
  CalibrationTokens tokens;
  tokens.window = window;
  for (const Json& id : *json) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= static_cast<std::uint64_t>(vocab)) return std::nullopt;
    tokens.ids.push_back(id.get<std::int32_t>());
  }
  return tokens;
}

/// The tokens that the run began with.
Result<CalibrationTokens> recorded_tokens(const CalibratedOutput& what, std::int64_t window, Journal& journal) {
  if (const std::optional<std::string> text = journal.find_text(kTokens)) {
    if (auto tokens = tokens_of(*text, window, what.files.config().vocab_size)) return *std::move(tokens);
    log_warning("{}: the journal's calibration tokens are damaged; they are made again", what.out);
  }
  const QuantizeOptions& o = what.options;
  NIBBLE_TRY(CalibrationTokens tokens,
             calibration_tokens(what.path, what.files, o.calibration, o.threads, o.max_memory, o.progress));
  NIBBLE_TRY_STATUS(journal.put_text(kTokens, Json(tokens.ids).dump()));
  return tokens;
}

ReportLevel report_level(const QuantizeOptions& options) {
  return options.report.value_or(options.statistics.empty() ? ReportLevel::kQuick : ReportLevel::kOff);
}

/// Where activations wait, of calibrating and of the report.
Result<ActivationStore::Options> plan_run(const CalibratedMethod& method, const CalibratedOutput& what,
                                          std::int64_t window) {
  std::uint64_t beside = 0;
  if (what.schemes) beside = beside_codes_bytes(what.files.layout(), *what.schemes);
  for (const QuantScheme& scheme : what.candidates)
    beside = std::max(beside, beside_codes_bytes(what.files.layout(), scheme));
  std::uint64_t bytes = method.bytes(what.files, window, what.options) + beside;
  if (!what.schemes) bytes = std::max(bytes, bit_search_bytes(what.files, what.candidates, window));
  const bool reports = report_level(what.options) != ReportLevel::kOff;
  return plan_memory(what.files, {what.options.max_memory, window, bytes, reports ? report_window(what.files) : 0},
                     what.out);
}

/// The report's tensors stand in the order of the targets, under the names of the output.
void add_errors(const std::vector<MatrixTarget>& targets, const FinishedLinears& finished, ConversionReport& report) {
  NIBBLE_CHECK(report.tensors.size() == targets.size());
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const auto found = finished.all().find(targets[i].id);
    if (found == finished.all().end()) continue;
    TensorReport& tensor = report.tensors[i];
    tensor.output_error = found->second.error;
    tensor.rtn_output_error = found->second.rtn_error;
    tensor.seconds = found->second.seconds;
  }
}

}  // namespace

Result<ConversionReport> quantize_calibrated(const CalibratedMethod& method, const CalibratedOutput& what,
                                             ThreadPool& pool) {
  const auto begin = std::chrono::steady_clock::now();
  const BitChoiceTask bits{what.files, what.options, what.format, what.output, what.candidates, method.gain};
  if (what.schemes) {
    NIBBLE_TRY_STATUS(check_output(method, what, *what.schemes, pool));
  } else {
    NIBBLE_TRY_STATUS(check_budget_fits(bits, pool));
  }
  std::error_code error;
  if (what.options.resume && fs::exists(what.out, error) && !fs::exists(Journal::folder_of(what.out), error)) {
    ConversionReport report;
    report.was_whole = true;
    return report;
  }
  NIBBLE_TRY(const StatisticsInput statistics, open_statistics(what.options.statistics, what.files));
  std::int64_t window = 0;  // the model is not run
  if (statistics.file == nullptr) {
    NIBBLE_TRY(window, calibration_window(what.files, what.options.calibration));
  }
  NIBBLE_TRY(const ActivationStore::Options store, plan_run(method, what, window));
  NIBBLE_TRY(const Journal::Ptr journal,
             Journal::open(what.out, run_description(what, statistics), what.options.resume));
  CalibrationTokens tokens;
  StreamOptions stream;
  stream.store = store;
  stream.progress = what.options.progress;
  if (statistics.file == nullptr) {
    NIBBLE_TRY(tokens, recorded_tokens(what, window, *journal));
  } else {
    stream.saved = [&](std::span<const LinearId> linears) { return statistics.file->gram(linears); };
  }
  ChosenBits chosen{what.schemes.value_or(QuantScheme()), {}};
  if (!what.schemes) {
    NIBBLE_TRY(chosen, choose_bits(bits, tokens, store, *journal, pool));
  }
  FinishedLinears finished(what.files.layout(), journal);
  CalibratedModel model;
  if (method.run != nullptr) {
    const CalibratedRun run{what.files, tokens, chosen.schemes, what.options, stream};
    NIBBLE_TRY(model, method.run(run, finished, pool));
  }
  const MatrixMethod as_finished = [&](LinearId id, MatrixPtr original) -> Result<MatrixPtr> {
    if (const auto found = finished.all().find(id); found != finished.all().end()) return found->second.matrix;
    return method.unfinished(std::move(original), chosen.schemes.of(id), pool);
  };
  NIBBLE_TRY(std::vector<MatrixTarget> targets,
             method_targets(what.files, chosen.schemes, as_finished, what.with_head, what.format));
  OutputOptions output = what.output;
  if (model.folded != nullptr) {
    output.changes = model.folded->changes();
    for (MatrixTarget& target : targets) {
      NIBBLE_TRY(target.reference, model.folded->matrix(target.id));
    }
  }
  for (const auto& [id, linear] : finished.all())
    if (!linear.bias.empty()) output.changes.biases[id] = linear.bias;
  NIBBLE_TRY(ConversionReport report, write_model(what.files, targets, what.out, what.format, output, pool));
  add_errors(targets, finished, report);
  if (!what.schemes) report.bit_choice = std::move(chosen.report);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const Status reported =
      add_report({what.path, what.files, what.out, what.options, store}, report_level(what.options), report, pool);
  if (!reported.ok()) log_warning("{} is whole, but there is no report: {}", what.out, reported.error().message);
  journal->remove();  // last, so that a run that is killed before its report makes that when it is resumed
  return report;
}

}  // namespace nibble
