#include "api/report.h"

#include <algorithm>
#include <filesystem>
#include <span>

#include "api/bit_choice.h"
#include "api/report_html.h"
#include "api/report_json.h"
#include "api/text_windows.h"
#include "api/written_windows.h"
#include "base/atomic_output.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "hub/digest.h"
#include "quant/calibration/block_evaluation.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kJsonSuffix = ".report.json";
constexpr const char* kTokensKey = "held_out_tokens_sha256";

struct HeldOut {
  CalibrationTokens tokens;
  std::string text;  ///< what they are of
};

/// What the model is measured on.
Result<HeldOut> choose_text(const ReportSubject& subject, ReportLevel level) {
  const std::int64_t windows = level == ReportLevel::kFull ? 64 : 8;
  const std::int64_t context = report_window(subject.files);
  HeldOut out;
  out.tokens.window = context;
  if (!subject.options.report_text.empty()) {
    NIBBLE_TRY(const std::shared_ptr<const Tokenizer> tokenizer, tokenizer_of(subject.files));
    NIBBLE_TRY(out.tokens.ids, windows_of_text(*tokenizer, subject.options.report_text, context, windows));
    out.text = subject.options.report_text;
    return out;
  }
  const CalibrationOptions& calibration = subject.options.calibration;
  if (!calibration.texts.empty()) {
    NIBBLE_TRY(out.tokens, held_out_tokens(subject.files, calibration, windows, context));
    out.text = "the calibration texts, where calibration ended";
    if (!out.tokens.ids.empty()) return out;
  }
  LoadOptions load;
  load.threads = subject.options.threads;
  load.progress = subject.options.progress;
  WrittenWindows wanted{windows, context, calibration.seed + 1};
  NIBBLE_TRY(wanted.at_once, windows_at_once(subject.files, wanted, subject.options.max_memory, "--report-text"));
  NIBBLE_TRY(out.tokens.ids, write_windows(subject.path, wanted, load));
  out.text = "what the model writes";
  return out;
}

/// SHA-256 of the token ids: what two outputs must have been measured on for their divergences to be compared.
std::string checksum(const CalibrationTokens& tokens) {
  Sha256 digest;
  digest.update(std::as_bytes(std::span(tokens.ids)));
  return digest.hex();
}

/// Gives the checksum of what it was measured on.
Result<std::string> measure(const ReportSubject& subject, ReportLevel level, ConversionReport& report,
                            ThreadPool& pool) {
  NIBBLE_TRY(HeldOut held_out, choose_text(subject, level));
  NIBBLE_TRY(const ModelFiles::Ptr output, ModelFiles::open(subject.out));
  NIBBLE_TRY(report.held_out,
             evaluate_blocks(*output, subject.files, held_out.tokens, subject.store, subject.options.progress, pool));
  report.held_out_text = std::move(held_out.text);
  return checksum(held_out.tokens);
}

fs::path beside(const std::string& out, std::string_view suffix) {
  const fs::path path(out);
  return (path.has_filename() ? path : path.parent_path()).string() + std::string(suffix);
}

Status write_file(const fs::path& path, const std::string& text) {
  NIBBLE_TRY(AtomicFile file, AtomicFile::create(path));
  NIBBLE_TRY_STATUS(file.append(std::as_bytes(std::span(text))));
  return file.commit();
}

/// A report that lies beside this one, where it is of the same model and measured on the same tokens.
std::optional<ReportedOutput> other_output(const fs::path& file, const Json& mine) {
  constexpr std::size_t kLargest = std::size_t{16} << 20;
  const Result<std::string> text = read_text_file(file, kLargest);
  if (!text.ok()) return std::nullopt;
  const Result<Json> json = parse_untrusted(*text, file.string());
  if (!json.ok() || !json->is_object()) return std::nullopt;
  for (const char* key : {"model", kTokensKey})
    if (!json->contains(key) || (*json)[key] != mine[key]) return std::nullopt;
  const Json* held_out = json->contains("held_out") ? &(*json)["held_out"] : nullptr;
  if (held_out == nullptr || !held_out->is_object() || !held_out->contains("kld_mean") ||
      !(*held_out)["kld_mean"].is_number() || !json->contains("bytes") || !(*json)["bytes"].is_number_unsigned())
    return std::nullopt;
  const std::string name = file.filename().string();
  return ReportedOutput{name.substr(0, name.size() - kJsonSuffix.size()), (*json)["bytes"].get<std::uint64_t>(),
                        (*held_out)["kld_mean"].get<double>(), false};
}

std::vector<ReportedOutput> reported_outputs(const fs::path& mine_file, const Json& mine,
                                             const ConversionReport& report) {
  std::vector<ReportedOutput> out;
  if (!report.held_out || !report.held_out->comparison) return out;
  std::error_code error;
  for (fs::directory_iterator it(mine_file.parent_path(), error), end; !error && it != end; it.increment(error)) {
    if (!it->path().filename().string().ends_with(kJsonSuffix) || it->path().filename() == mine_file.filename())
      continue;
    if (std::optional<ReportedOutput> other = other_output(it->path(), mine)) out.push_back(*std::move(other));
  }
  std::sort(out.begin(), out.end(), [](const ReportedOutput& a, const ReportedOutput& b) { return a.name < b.name; });
  const std::string name = mine_file.filename().string();
  out.push_back(
      {name.substr(0, name.size() - kJsonSuffix.size()), report.bytes, report.held_out->comparison->kld_mean, true});
  return out;
}

}  // namespace

std::int64_t report_window(const ModelFiles& files) {
  return std::min<std::int64_t>(512, files.config().max_position_embeddings);
}

Status add_report(const ReportSubject& subject, ReportLevel level, ConversionReport& report, ThreadPool& pool) {
  if (level == ReportLevel::kOff) return {};
  NIBBLE_TRY(const std::string tokens, measure(subject, level, report, pool));
  std::error_code error;
  const fs::path json_file = fs::absolute(beside(subject.out, kJsonSuffix), error);
  const fs::path html_file = fs::absolute(beside(subject.out, ".report.html"), error);
  Json json = {{"model", fs::absolute(subject.path, error).string()},
               {"method", subject.options.method},
               {"scheme", wanted_bits(subject.options)},
               {kTokensKey, tokens}};
  json.update(report_json(report));
  const std::string title = fmt::format("{} with {} {}", fs::path(subject.path).filename().string(),
                                        subject.options.method, wanted_bits(subject.options));
  NIBBLE_TRY_STATUS(write_file(json_file, json.dump(2) + "\n"));
  NIBBLE_TRY_STATUS(write_file(html_file, report_html(title, report, reported_outputs(json_file, json, report))));
  report.files = {json_file.string(), html_file.string()};
  return {};
}

}  // namespace nibble
