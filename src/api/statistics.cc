// nibble/statistics.h
#include "nibble/statistics.h"

#include <chrono>
#include <filesystem>
#include <map>

#include "api/boundary.h"
#include "api/calibration.h"
#include "api/heartbeat.h"
#include "api/model_fingerprint.h"
#include "api/model_path.h"
#include "api/source_files.h"
#include "quant/calibration/memory_plan.h"
#include "quant/statistics/statistics_writer.h"

namespace nibble {
namespace {

/// What the file says about itself.
std::map<std::string, std::string> metadata_of(const ModelFiles& files, const CalibrationOptions& calibration,
                                               const CalibrationTokens& tokens) {
  std::string texts;
  for (const std::string& text : calibration.texts)
    texts += (texts.empty() ? "" : ", ") + std::filesystem::path(text).filename().string();
  const auto windows = static_cast<std::int64_t>(tokens.ids.size()) / tokens.window;
  return {{"format", "nibble statistics"},
          {"nibble", NIBBLE_VERSION},
          {"model", std::filesystem::path(files.path()).filename().string()},
          {"architecture", std::string(files.architecture().name)},
          {"texts", texts.empty() ? "what the model writes" : texts},
          {"windows", fmt::format("{} of {} tokens", windows, tokens.window)}};
}

/// Every linear stays as it is, and what it saw is written.
Status run_and_write(const ModelFiles& files, const CalibrationTokens& tokens, const StatisticsOptions& options,
                     const ActivationStore::Options& store, StatisticsWriter& writer, ThreadPool& pool) {
  const QuantizeLinears keep = [&](std::span<const LinearId> linears,
                                   const InputGram& gram) -> Result<std::vector<MatrixPtr>> {
    NIBBLE_TRY_STATUS(writer.write(linears, gram));
    std::vector<MatrixPtr> matrices;
    for (const LinearId id : linears) {
      NIBBLE_TRY(matrices.emplace_back(), files.matrix(id));
    }
    return matrices;
  };
  StreamOptions stream;
  stream.store = store;
  stream.progress = [&](std::string_view, std::uint64_t done, std::uint64_t all, std::string_view unit) {
    return !options.progress || options.progress("measuring", done, all, unit);
  };
  const Status status = stream_blocks(files, tokens, keep, stream, pool);
  if (!status.ok() && status.error().code == ErrorCode::kCancelled)
    return fail(ErrorCode::kCancelled, "measuring was stopped; nothing was written");
  return status;
}

}  // namespace

Result<StatisticsReport> make_statistics(const std::string& model, const std::string& out,
                                         const StatisticsOptions& given) {
  return at_boundary([&]() -> Result<StatisticsReport> {
    StatisticsOptions options = given;
    const Heartbeat heartbeat(options.progress);
    const auto begin = std::chrono::steady_clock::now();
    NIBBLE_TRY(const std::string path, model_path(model));
    NIBBLE_TRY(const ModelFiles::Ptr files, ModelFiles::open(path));
    NIBBLE_TRY_STATUS(refuse_replacing(*files, options.calibration.texts, out));
    NIBBLE_TRY(const std::int64_t window, calibration_window(*files, options.calibration));
    NIBBLE_TRY(const CalibrationTokens tokens, calibration_tokens(path, *files, options.calibration, options.threads,
                                                                  options.max_memory, options.progress));
    const MemoryNeeds needs{options.max_memory, window, gram_bytes(files->layout(), window)};
    NIBBLE_TRY(const ActivationStore::Options store, plan_memory(*files, needs, out));
    NIBBLE_TRY(const std::string fingerprint, model_fingerprint(*files));
    NIBBLE_TRY(
        const std::unique_ptr<StatisticsWriter> writer,
        StatisticsWriter::create(out, files->layout(), fingerprint, metadata_of(*files, options.calibration, tokens)));
    ThreadPool pool(options.threads);
    NIBBLE_TRY_STATUS(run_and_write(*files, tokens, options, store, *writer, pool));
    NIBBLE_TRY_STATUS(writer->finish());
    StatisticsReport report;
    report.groups = static_cast<std::int64_t>(4 * files->layout().blocks.size());
    report.tokens = static_cast<std::int64_t>(tokens.ids.size());
    std::error_code error;
    report.bytes = std::filesystem::file_size(out, error);
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return report;
  });
}

}  // namespace nibble
