#include "api/calibration.h"

#include <algorithm>

#include "api/text_windows.h"
#include "base/log.h"
#include "nibble/evaluate.h"

namespace nibble {
namespace {

/// What is taken of each calibration text, as many windows of each as of the others where they are long enough.
Result<std::vector<std::vector<std::int32_t>>> windows_by_text(const Tokenizer& tokenizer,
                                                               const CalibrationOptions& options, std::int64_t window) {
  std::vector<std::vector<std::int32_t>> out(options.texts.size());
  const auto texts = static_cast<std::int64_t>(options.texts.size());
  std::int64_t left = options.samples;
  for (std::int64_t i = 0; i < texts && left > 0; ++i) {
    const auto at = static_cast<std::size_t>(i);
    NIBBLE_TRY(out[at], windows_of_text(tokenizer, options.texts[at], window, (left + texts - i - 1) / (texts - i)));
    left -= static_cast<std::int64_t>(out[at].size()) / window;
  }
  return out;
}

}  // namespace

Result<std::int64_t> calibration_window(const ModelFiles& files, const CalibrationOptions& options) {
  const std::int64_t window =
      options.context > 0 ? options.context : std::min<std::int64_t>(1024, files.config().max_position_embeddings);
  NIBBLE_TRY_STATUS(check_window(window, files));
  if (options.samples < 1)
    return fail(ErrorCode::kInvalidArgument, "--samples {}: calibration needs at least one window", options.samples);
  return window;
}

Result<CalibrationTokens> calibration_tokens(const std::string& path, const ModelFiles& files,
                                             const CalibrationOptions& options, int threads, const Progress& progress) {
  CalibrationTokens out;
  NIBBLE_TRY(out.window, calibration_window(files, options));
  if (options.texts.empty()) {
    log_info("no --calibration text: calibrating on {} windows that the model writes itself", options.samples);
    LoadOptions load;
    load.threads = threads;
    load.progress = progress;
    NIBBLE_TRY(out.ids, sample_windows(path, options.samples, out.window, options.seed, load));
    return out;
  }
  NIBBLE_TRY(const std::shared_ptr<const Tokenizer> tokenizer, tokenizer_of(files));
  NIBBLE_TRY(const std::vector<std::vector<std::int32_t>> texts, windows_by_text(*tokenizer, options, out.window));
  for (const std::vector<std::int32_t>& ids : texts) out.ids.insert(out.ids.end(), ids.begin(), ids.end());
  const std::int64_t found = static_cast<std::int64_t>(out.ids.size()) / out.window;
  if (found < options.samples) log_info("the calibration texts hold {} of {} windows", found, options.samples);
  return out;
}

Result<CalibrationTokens> held_out_tokens(const ModelFiles& files, const CalibrationOptions& options,
                                          std::int64_t windows, std::int64_t context) {
  NIBBLE_TRY(const std::shared_ptr<const Tokenizer> tokenizer, tokenizer_of(files));
  NIBBLE_TRY(const std::int64_t calibrated, calibration_window(files, options));
  NIBBLE_TRY(const std::vector<std::vector<std::int32_t>> used, windows_by_text(*tokenizer, options, calibrated));
  CalibrationTokens out;
  out.window = context;
  const auto texts = static_cast<std::int64_t>(options.texts.size());
  std::int64_t left = windows;
  for (std::int64_t i = 0; i < texts && left > 0; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const std::int64_t skip =
        static_cast<std::int64_t>(used[at].size()) / calibrated * text_tokens_of_window(*tokenizer, calibrated);
    const Result<std::vector<std::int32_t>> ids =
        windows_of_text(*tokenizer, options.texts[at], context, (left + texts - i - 1) / (texts - i), skip);
    if (!ids.ok()) continue;  // all of it was calibrated on
    out.ids.insert(out.ids.end(), ids->begin(), ids->end());
    left -= static_cast<std::int64_t>(ids->size()) / context;
  }
  return out;
}

}  // namespace nibble
